"""The inference worker's process: born when it is needed, replaced when it dies, gone with its server."""

import asyncio
import os
import shutil
import signal
from collections.abc import Awaitable, Callable, Iterator
from contextlib import aclosing, contextmanager, suppress
from pathlib import Path

import httpx
import pytest

from runtime.messages.inference import AdapterFiles, SamplingParameters
from runtime.server.answering.worker import Worker
from runtime.server.processes import ProcessDied
from state.errors import ServiceError
from tests import asking
from tests.processes import on_linux
from tests.server import PATIENCE_S, Server, wait_until

MAX_RUNNING = 32  # the engine's
ENDLESS = 100_000  # tokens: an hour


def _pid(worker: Worker) -> int:
    assert worker._life is not None
    return worker._life.result()._process.pid


def _with_worker(act: Callable[[Worker], Awaitable[None]], log: Path) -> None:
    async def live() -> None:
        worker = Worker(log.parent / "bases", log)
        try:
            await act(worker)
        finally:
            await worker.close()

    asyncio.run(live())


def test_a_worker_that_dies_says_how_and_the_next_request_has_another(endless: Path, tmp_path: Path) -> None:
    async def act(worker: Worker) -> None:
        before = await asking.generate(worker, endless)
        first = _pid(worker)
        asked = asyncio.create_task(asking.generate(worker, endless, max_new_tokens=ENDLESS))
        await asyncio.sleep(0)

        os.kill(first, signal.SIGKILL)
        with pytest.raises(ProcessDied, match="SIGKILL"):
            await asked

        assert await asking.generate(worker, endless) == before
        assert _pid(worker) != first

        worker._leave_mb = lambda: 2**20  # as where jobs have planned with more than there is
        with pytest.raises(ServiceError, match="and 0 MB of memory can be given to it now"):
            await asking.generate(worker, endless)

    _with_worker(act, tmp_path / "log")


def test_what_nobody_waits_for_is_given_up(endless: Path, tmp_path: Path) -> None:
    """As many completions as are worked side by side, which would go on for hours: another one waits for their places.

    One is closed between two pieces of its text, one is cancelled while it waits for the first.
    """

    async def act(worker: Worker) -> None:
        prompts = [("def f(", SamplingParameters(max_new_tokens=ENDLESS))] * MAX_RUNNING
        async with aclosing(worker.generate(str(endless), None, prompts, stream=True)) as events:
            await anext(events)
            waiting = asyncio.create_task(asking.generate(worker, endless, max_new_tokens=ENDLESS))
            await asyncio.sleep(0)
            assert worker.in_flight == MAX_RUNNING + 1
            waiting.cancel()
            with suppress(asyncio.CancelledError):
                await waiting
        assert worker.in_flight == 0

        async with asyncio.timeout(PATIENCE_S):
            assert (await asking.generate(worker, endless)).completion_tokens == 4

    _with_worker(act, tmp_path / "log")


@on_linux
def test_an_idle_worker_gives_its_memory_back_and_the_next_one_has_the_same_answer_and_ends_with_a_killed_server(
    start_server: Callable[..., Server], tmp_path: Path, endless: Path
) -> None:
    shutil.copytree(endless, tmp_path / "models" / "endless")
    server = start_server("--slots", "0", "--unload-after", "0.01")
    request = {"prompt": "def", "model_name": "tiny-python", "max_new_tokens": 4}
    before = server.post("/generate", request).json()
    with _kept_busy(server) as worker:
        pass

    wait_until(lambda: not Path(f"/proc/{worker}").exists(), "the worker is gone")

    assert server.children() == []
    assert server.post("/generate", request).json() == before

    with _kept_busy(server) as worker:
        server.kill()

    wait_until(lambda: not Path(f"/proc/{worker}").exists(), "the worker is gone")


@contextmanager
def _kept_busy(server: Server) -> Iterator[int]:
    """The worker, while it writes an answer that has no end: else it may be idle for long enough at any moment."""
    body = {"model": "endless", "prompt": "def f(", "temperature": 0, "max_tokens": ENDLESS, "stream": True}
    url = f"http://localhost:{server.port}/v1/completions"
    with httpx.stream("POST", url, json=body, timeout=PATIENCE_S) as reply:
        next(reply.iter_raw())
        wait_until(lambda: len(server.children()) == 1, "one that has been idle is gone")
        [worker] = server.children()
        yield worker


@on_linux
def test_two_hundred_loads_and_unloads_leave_no_memory_behind(toy: Path, trained: Path, tmp_path: Path) -> None:
    folders = [shutil.copytree(trained, tmp_path / f"adapter-{number}") for number in range(3)]
    sizes_mb: list[float] = []

    async def act(worker: Worker) -> None:
        for number in range(200):
            adapter = AdapterFiles(str(folders[number % 3]), str(number))  # another fingerprint: other files each time
            await worker.load(str(toy), adapter)
            await asking.generate(worker, toy, adapter, f"def f{number}(", max_new_tokens=2)
            if number % 5 == 4:
                await worker.unload()
            if number in (99, 199):
                sizes_mb.append(_anonymous_mb(_pid(worker)))

    _with_worker(act, tmp_path / "log")

    half, whole = sizes_mb
    assert whole - half < 4


def _anonymous_mb(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("RssAnon:", 1)[1].split(maxsplit=1)[0]) / 1024
