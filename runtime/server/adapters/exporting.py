"""Exports, made by a process that has torch, and that ends when nobody waits for it any more."""

import asyncio
import os
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

import msgspec

from runtime.messages.export import Format, Order, Outcome
from runtime.server.processes import CODE, ProcessDied, explain
from state import exports, models
from state.adapters import Adapter
from state.errors import ServiceError
from state.root import DataRoot

END_TIMEOUT_S = 10.0  # a terminated one removes what it has written

_one_at_a_time = asyncio.Lock()  # each may need as much memory as the model's largest tensor a few times, and the disk


async def export(root: DataRoot, adapter: Adapter, export_format: Format, output_dir: str | None) -> Path:
    """Have an adapter's export whole in its folder, which is returned. Cancelled, it leaves what was there before.

    Raises ServiceError for what cannot be exported, OSError when the disk refuses, ProcessDied when the process dies.
    """
    if adapter.problem is not None:
        raise ServiceError(f"Failed to export adapter {adapter.name}: {adapter.problem}")
    model = models.find(root, adapter.model_name)
    async with _one_at_a_time:
        target = exports.place(root, adapter.name, export_format, output_dir)
        target.parent.mkdir(parents=True, exist_ok=True)
        source = str(model.folder or model.source)
        order = Order(str(adapter.path), adapter.model_name, source, export_format, str(target))
        outcome = await _made(order)
    if outcome.errno is not None:
        raise OSError(outcome.errno, os.strerror(outcome.errno))
    if outcome.error is not None:
        raise ServiceError(outcome.error)
    return target


async def _made(order: Order) -> Outcome:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "runtime.export"),
        cwd=CODE,
        stdin=PIPE,  # stays open: its end ends the process
        stdout=PIPE,
        stderr=PIPE,
        start_new_session=True,
    )
    if process.stdin is None or process.stdout is None or process.stderr is None:
        raise TypeError("The process was started without its pipes")
    try:
        process.stdin.write(msgspec.json.encode(order) + b"\n")
        output, log = await asyncio.gather(process.stdout.read(), process.stderr.read())
        await process.wait()
    finally:
        await _end(process)
    if process.returncode or not output:
        last_lines = "\n".join(log.decode(errors="replace").splitlines()[-5:])
        raise ProcessDied(f"The process that exports died. {explain(process.returncode)}\n\n{last_lines}")
    return msgspec.json.decode(output.splitlines()[-1], type=Outcome)


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    process.terminate()
    try:
        await asyncio.wait_for(process.wait(), END_TIMEOUT_S)
    except TimeoutError:
        process.kill()
        await process.wait()
