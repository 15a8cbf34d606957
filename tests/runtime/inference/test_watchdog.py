"""A pass that does not end is noticed, from a thread that does."""

import math
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
import torch
from msgspec import structs

from runtime.inference import watchdog
from runtime.inference.engine import Engine
from runtime.inference.ragged import Chunk
from runtime.inference.watchdog import watch
from runtime.messages.inference import LastWords, decode_reply, line
from tests.completing import base_of, complete, request
from tests.server import CHECKOUT, PATIENCE_S


def test_a_pass_that_hangs_is_ended_in_words_and_shown_where_it_hangs(capfd: pytest.CaptureFixture[str]) -> None:
    began = time.monotonic()
    reasons: list[str] = []

    watch(lambda: began, reasons.append, limit_s=0.05)

    assert reasons == ["The model has computed for more than 0.05 s without a token, and is taken to hang"]
    assert "test_a_pass_that_hangs" in capfd.readouterr().err


@pytest.mark.parametrize("pass_began_s", [lambda: None, time.monotonic])
def test_a_worker_that_waits_or_comes_forward_is_left_alone(
    monkeypatch: pytest.MonkeyPatch, pass_began_s: Callable[[], float | None]
) -> None:
    monkeypatch.setattr(watchdog, "EVERY_S", 0.001)
    reasons: list[str] = []

    def looks() -> Iterator[float | None]:
        for _ in range(20):
            assert reasons == []
            yield pass_began_s()
        yield -math.inf  # a pass that began long ago

    coming = looks()
    watch(lambda: next(coming), reasons.append)

    assert len(reasons) == 1
    assert list(coming) == [], "it looked until the pass that hangs"


def test_an_engine_says_when_its_pass_began_while_it_computes(biased: Path) -> None:
    engine, base = Engine(biased / ".cache"), biased / "models" / "toy"
    complete(engine, base, max_new_tokens=1)
    runner = base_of(engine).runner
    seen: list[float | None] = []

    def look(chunks: Sequence[Chunk]) -> torch.Tensor:
        seen.append(engine.pass_began_s)
        return runner.logits(chunks)

    base_of(engine).runner = structs.replace(runner, logits=look)
    before = time.monotonic()
    complete(engine, base, max_new_tokens=3)

    times = [before, *(began for began in seen if began is not None), time.monotonic()]
    assert len(seen) == 3
    assert len(times) == 5
    assert times == sorted(times)
    assert engine.pass_began_s is None


HANGING = """
import socket, sys, threading
from functools import partial
from pathlib import Path
from runtime.inference import __main__ as worker, watchdog
from runtime.inference.adapters import Adapters

watchdog.watch = partial(watchdog.watch, limit_s=0.1)
Adapters.begin_pass = lambda *_: threading.Event().wait()
server = socket.socket(fileno=int(sys.argv[1]))
worker.work(worker.Inbox(server), server, worker.engine(Path(sys.argv[2])))
"""
"""The worker, whose passes never end."""


def test_a_worker_whose_pass_hangs_tells_the_server_and_ends(toy: Path, tmp_path: Path) -> None:
    ours, its = socket.socketpair()
    with ours, its, (tmp_path / "log").open("wb") as log:
        worker = subprocess.Popen(
            [sys.executable, "-c", HANGING, str(its.fileno()), tmp_path / ".cache"],
            cwd=CHECKOUT,
            pass_fds=[its.fileno()],
            stderr=log,
        )
        its.close()
        ours.settimeout(PATIENCE_S)
        ours.sendall(line(request(1, toy, None)))

        words = decode_reply(ours.makefile("rb").readline())
        assert worker.wait(PATIENCE_S) == 1  # while the socket is open: at its end a worker ends, too

    assert isinstance(words, LastWords)
    assert words.message.endswith("without a token, and is taken to hang")
    assert "in _logits" in (tmp_path / "log").read_text(), "where it hangs"
