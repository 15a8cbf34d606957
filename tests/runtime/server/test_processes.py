"""Asking a process: it answers, or dies in words, and ends when nobody waits for it any more."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from msgspec import Struct

from runtime.server import processes
from runtime.server.processes import ProcessDied
from state.errors import ServiceError
from tests.processes import is_alive, on_linux
from tests.server import CHECKOUT, PATIENCE_S, wait_until


class Question(Struct):
    pid_file: str


class Reply(Struct):
    word: str


@pytest.fixture
def code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where `python -m asked` is found."""
    monkeypatch.setattr(processes, "CODE", tmp_path)
    return tmp_path


def _write(code: Path, then: str) -> None:
    (code / "asked.py").write_text(
        f"""
import ctypes, os, sys
sys.path.insert(1, {str(CHECKOUT)!r})
from msgspec import Struct
from pathlib import Path
from runtime.process import question
class Question(Struct):
    pid_file: str
class Reply(Struct):
    word: str
def answer(asked):
    hidden = Path(asked.pid_file + ".new")
    hidden.write_text(str(os.getpid()))
    hidden.rename(asked.pid_file)
    {then}
question.serve(Question, answer)
"""
    )


def _ask(code: Path, ending: asyncio.Event | None = None) -> "asyncio.Task[Reply]":
    question = Question(str(code / "pid"))
    asked = processes.ask("asked", question, Reply, who="The process that is asked", ending=ending or asyncio.Event())
    return asyncio.create_task(asked)


async def _pid(code: Path) -> int:
    await asyncio.to_thread(wait_until, (code / "pid").exists, "the process has its question")
    return int((code / "pid").read_text())


def test_a_process_answers_with_its_last_line(code: Path) -> None:
    _write(code, 'print("what a library says"); return Reply("yes")')

    async def scenario() -> Reply:
        return await _ask(code)

    assert asyncio.run(scenario()) == Reply("yes")


def test_a_process_refuses_in_words_or_as_a_full_disk_does(code: Path) -> None:
    async def refusal() -> Exception:
        with pytest.raises((ServiceError, OSError)) as refused:
            await _ask(code)
        return refused.value

    _write(code, 'from state.errors import ServiceError; raise ServiceError("not this")')
    assert str(asyncio.run(refusal())) == "not this"
    _write(code, "raise OSError(28, 'no room')")
    full = asyncio.run(refusal())
    assert isinstance(full, OSError)
    assert full.errno == 28


def test_a_process_that_dies_is_told_with_its_last_words(code: Path) -> None:
    _write(code, 'print("out of luck", file=sys.stderr); os._exit(3)')

    async def scenario() -> None:
        with pytest.raises(ProcessDied) as died:
            await _ask(code)
        assert str(died.value) == "The process that is asked died. It ended with exit code 3.\n\nout of luck"

    asyncio.run(scenario())


@on_linux
def test_a_process_that_nobody_waits_for_ends_in_the_middle_of_an_import(code: Path) -> None:
    _write(code, "ctypes.PyDLL(None).sleep(600)  # holds the interpreter, as importing torch does at times")

    async def scenario() -> None:
        asking = _ask(code)
        pid = await _pid(code)

        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)

        assert not is_alive(pid)

    asyncio.run(scenario())


@on_linux
def test_a_process_ends_as_soon_as_its_server_is_to_end(code: Path) -> None:
    _write(code, "ctypes.CDLL(None).sleep(600)")

    async def scenario() -> None:
        ending = asyncio.Event()
        asking = _ask(code, ending)
        pid = await _pid(code)

        ending.set()
        with pytest.raises(ProcessDied, match="The server is shutting down"):
            await asking

        assert not is_alive(pid)
        with pytest.raises(ProcessDied, match="The server is shutting down"):
            await _ask(code, ending)

    asyncio.run(scenario())


@on_linux
def test_a_process_ends_with_a_server_that_is_killed(code: Path) -> None:
    _write(code, "ctypes.CDLL(None).sleep(600)")
    server = f"""
import asyncio
from pathlib import Path
from msgspec import Struct
from runtime.server import processes
processes.CODE = Path({str(code)!r})
class Question(Struct):
    pid_file: str
asyncio.run(processes.ask("asked", Question({str(code / "pid")!r}), Question, who="It", ending=asyncio.Event()))
"""
    with subprocess.Popen([sys.executable, "-c", server], cwd=CHECKOUT, env=os.environ) as asking:
        wait_until((code / "pid").exists, "the process has its question")
        asking.kill()

    pid = int((code / "pid").read_text())
    wait_until(lambda: not is_alive(pid), "the process has ended")


def _started(program: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", program + "; print('ready', flush=True); sys.stdin.read()"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    with process.stdout as output:
        assert output.readline() == b"ready\n"
    return process


def test_a_process_has_its_grace_to_end_by_itself() -> None:
    assert processes.end(_started("import atexit, os, sys; atexit.register(os._exit, 7)"), PATIENCE_S) == 7


def test_a_process_that_does_not_end_is_killed() -> None:
    process = _started("import sys, threading; threading.Thread(target=threading.Event().wait).start()")

    assert processes.end(process, grace_s=0.1) == -signal.SIGKILL
    assert processes.end(process, PATIENCE_S) == -signal.SIGKILL


def test_what_computes_is_started_with_all_that_it_would_else_start_itself_anew_for(
    code: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LD_PRELOAD", raising=False)
    monkeypatch.delenv("LRU_CACHE_CAPACITY")
    (code / "computes.py").write_text(
        f"""
import os, sys
sys.path.append({str(CHECKOUT)!r})
from runtime.process import cpu
os.execv = lambda *_: print("anew")
cpu.prepare()
print(os.environ["LRU_CACHE_CAPACITY"])
"""
    )

    with processes.start("computes", output=subprocess.PIPE) as process:
        output, _ = process.communicate(timeout=PATIENCE_S)

    assert output.decode().split() == ["8"]
