"""The command line as a program of its own, in a pipe or on a terminal."""

import fcntl
import os
import pty
import re
import shlex
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.server import CHECKOUT, PATIENCE_S, Server

LATHE = [sys.executable, "-m", "cli"]


class Done(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def cells(self) -> list[list[str]]:
        """What a pipe gets, by line and column."""
        return [line.split("\t") for line in self.out.splitlines()]


class Lathe:
    """Runs commands in a folder, for one server."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self.folder = folder
        others = ("LATHE_", "NO_COLOR", "COLUMNS", "LINES")  # pytest's workers tell the width of their own terminal
        shell = {name: value for name, value in os.environ.items() if not name.startswith(others)}
        self.environment = {**shell, "PYTHONPATH": str(CHECKOUT), "TERM": "xterm-256color", **environment}

    def __call__(self, *arguments: str, stdin: str = "", **environment: str) -> Done:
        done = subprocess.run(
            [*LATHE, *arguments],
            cwd=self.folder,
            env=self.environment | environment,
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE_S,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    def script(self, commands: str, folder: Path | None = None) -> Done:
        """Commands as a page has them: bash finds `lathe`, and ends at the first that fails."""
        process = self.begin_script(commands, folder)
        out, err = process.communicate(timeout=PATIENCE_S)
        return Done(process.returncode, out, err)

    def begin_script(self, commands: str, folder: Path | None = None) -> subprocess.Popen[str]:
        """The same, going on meanwhile."""
        own = self.folder / "bin" / "lathe"
        own.parent.mkdir(exist_ok=True)
        own.write_text(f'#!/bin/sh\nexec {shlex.join(LATHE)} "$@"\n')
        own.chmod(0o700)
        return subprocess.Popen(
            ["bash", "-euc", commands],
            cwd=folder or self.folder,
            env=self.environment | {"PATH": f"{own.parent}:{os.environ['PATH']}"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def begin(self, *arguments: str) -> subprocess.Popen[str]:
        """A command that goes on meanwhile, in a pipe."""
        return subprocess.Popen(
            [*LATHE, *arguments],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            process_group=0,  # Ctrl-C in the terminal of whoever runs the tests is not for it
        )

    def on_terminal(self, *arguments: str, typed: str = "", columns: int = 100, **environment: str) -> Done:
        """Both outputs are a terminal."""
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 30, columns, 0, 0))
        process = subprocess.Popen(
            [*LATHE, *arguments],
            cwd=self.folder,
            env=self.environment | environment,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            process_group=0,
        )
        os.close(theirs)
        os.write(ours, typed.encode())
        output = b""
        with suppress(OSError):  # Linux's word for a terminal that nobody has any more
            while piece := os.read(ours, 65_536):
                output += piece
        os.close(ours)
        return Done(process.wait(timeout=PATIENCE_S), output.decode().replace("\r\n", "\n"), "")


def plain(output: str) -> str:
    """What is read of it, without the colours and the movements of the cursor."""
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", output)


def line_with(words: str, stream: Iterator[str]) -> str:
    """The next line that has these words. Whatever comes before it is read."""
    for line in stream:
        if words in line:
            return line
    raise AssertionError(f"the output ended without {words!r}")


def interrupt(process: subprocess.Popen[str]) -> Done:
    """Ctrl-C, and what the command makes of it."""
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=PATIENCE_S)
    return Done(process.returncode, out, err)


@pytest.fixture
def lathe(queueing: Server, tmp_path: Path) -> Lathe:
    """For the server that accepts jobs and launches none."""
    return Lathe(tmp_path, LATHE_URL=f"http://localhost:{queueing.port}")


@pytest.fixture
def lathe_that_trains(training: Server, tmp_path: Path) -> Lathe:
    return Lathe(tmp_path, LATHE_URL=f"http://localhost:{training.port}")


@pytest.fixture
def lathe_alone(tmp_path: Path) -> Lathe:
    """Without any server: nobody listens on port 1."""
    return Lathe(tmp_path, LATHE_URL="http://localhost:1")
