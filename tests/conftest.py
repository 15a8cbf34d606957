"""Servers for the tests. Starting one costs half a second, so tests that can share one do."""

import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from runtime.process import cpu
from state.jobs import JobFolder
from tests import processes
from tests.server import Server

# Before torch is imported: a model that a test computes in its own process uses the cores as a trainer's does. Of tests
# that run side by side each has one core: two threads each on busy cores wait for one another most of the time, and a
# file of 20 s took over nine minutes.
for name, value in cpu.SETTINGS.items():
    os.environ.setdefault(name, value)
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# What a shell puts in the background ignores Ctrl-C, and so would each program that a test starts and interrupts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _end_started() -> Iterator[None]:
    yield
    processes.end_started()


@pytest.fixture(scope="session")
def queueing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that accepts jobs and launches none."""
    server = Server(tmp_path_factory.mktemp("queueing"), "--slots", "0")
    yield server
    server.close()


@pytest.fixture(scope="session")
def training(tmp_path_factory: pytest.TempPathFactory, toy: Path) -> Iterator[Server]:
    """A server that trains. It has a base model called toy."""
    root = tmp_path_factory.mktemp("training")
    shutil.copytree(toy, root / "models" / "toy")
    server = Server(root)
    yield server
    server.close()


@pytest.fixture
def train_here(queueing: Server, toy: Path) -> Iterator[Callable[..., str]]:
    """Have a job of the toy trained under the server that launches none, and its id: two seconds of imports less.

    That server's only base model is tiny-python again when the test ends.
    """
    from tests import jobs  # noqa: PLC0415  imports torch

    link = queueing.root / "models" / "toy"
    link.symlink_to(toy)

    def train(**fields: Any) -> str:
        job_id = queueing.start(model_name="toy", **fields)
        jobs.train_here(JobFolder(queueing.job_folder(job_id)))
        queueing.wait_for(job_id, "completed")
        return job_id

    yield train
    link.unlink()


@pytest.fixture
def start_server(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Start servers of the test's own; on `tmp_path` unless another root is given."""
    started: list[Server] = []

    def start(*options: str, root: Path = tmp_path, **how: Any) -> Server:
        """`how` is as in Server."""
        root.mkdir(exist_ok=True)
        started.append(Server(root, *options, **how))
        return started[-1]

    yield start
    for server in reversed(started):  # one that lives takes up the trainers that the close of another has ended
        server.close()


@pytest.fixture(scope="session")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A toy Llama's folder, not to be changed."""
    from tests import toys  # noqa: PLC0415  imports torch, which most tests do without

    return toys.make(tmp_path_factory.mktemp("toy") / "toy")


@pytest.fixture(scope="session")
def endless(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a toy Llama whose context has no end to speak of: it can write for an hour."""
    from tests import toys  # noqa: PLC0415  imports torch

    return toys.make(tmp_path_factory.mktemp("endless") / "endless", max_position_embeddings=200_000)


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, toy: Path) -> Path:
    """The folder of a toy adapter with Lathe's record, not to be changed."""
    from tests import jobs  # noqa: PLC0415  imports torch

    root = tmp_path_factory.mktemp("trained")
    shutil.copytree(toy, root / "models" / "toy")
    jobs.train_here(jobs.make(root, adapter_name="trained", description="Made by a test"))
    return root / "adapters" / "trained"
