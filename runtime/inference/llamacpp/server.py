"""One llama-server: a base and the adapters that it was started with, on a Unix socket that only this user can reach.

It cannot take another adapter while it runs, so the engine replaces it. A guardian kills it as soon as this process is
gone, and removes its socket's folder.
"""

import http.client
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from runtime.process.endings import explain
from state.errors import ServiceError

LAST_LINES = 5  # of what it said before it died
LOOK_EVERY_S = 0.02
DEATH_S = 60.0  # its socket closes a moment before it is gone; on a machine that is busy, some seconds


class Plan(Struct, frozen=True):
    """What a llama-server is to serve. An adapter's place is the number that requests name it by."""

    base: Path
    adapters: tuple[Path, ...]
    slots: int
    context: int
    """Tokens of each slot."""


class Connection(http.client.HTTPConnection):
    def __init__(self, address: Path, timeout_s: float | None = None) -> None:
        super().__init__("localhost")
        self._address = address
        self._timeout_s = timeout_s

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self._timeout_s)
        self.sock.connect(str(self._address))


class LlamaServer:
    """A process from its start to its end. Threads may ask it by its `address`."""

    def __init__(self, program: Path, plan: Plan, memory_mb: int) -> None:
        """Start it, and wait until it can answer. `memory_mb` may be filled with what is remembered of past prompts.

        Raises ServiceError with its last words when it ends instead.
        """
        self.plan = plan
        folder = Path(tempfile.mkdtemp(prefix="lathe-llama-"))  # none but this user may enter it
        self.address = folder / "llama.sock"
        self._last_lines: deque[str] = deque(maxlen=LAST_LINES)
        self._process = subprocess.Popen(  # noqa: S603  the user's llama-server
            [sys.executable, "-m", "runtime.process.guardian", str(folder), str(program), *self._options()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={"LLAMA_ARG_CACHE_RAM": str(memory_mb)} | os.environ,
        )
        self._listening = threading.Thread(target=self._listen, name="llama-server", daemon=True)
        self._listening.start()
        while not self._answers():
            if not self.is_alive:
                raise ServiceError(f"llama-server did not start. {self._obituary()}")
            time.sleep(LOOK_EVERY_S)
        try:
            self.context = int(self._asked("/props")["default_generation_settings"]["n_ctx"])
            """Tokens of each slot: no more than what the model was trained on, whatever was asked for."""
        except (OSError, http.client.HTTPException, KeyError, msgspec.MsgspecError) as error:
            self.end()
            raise ServiceError(f"{program} does not answer as llama.cpp's server does: {error}") from error

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    def explained(self, otherwise: str) -> str:
        """Why it gave no answer, once a connection to it broke; `otherwise` where it lives on."""
        if not self._has_died():
            return f"llama-server gave no answer: {otherwise}"
        return f"llama-server died; the next request starts another. {self._obituary()}"

    def end(self) -> None:
        assert self._process.stdin is not None  # noqa: S101
        self._process.stdin.close()
        self._process.wait()

    def _has_died(self) -> bool:
        """Whether a connection that broke was the end of it, which is waited for unless it still answers."""
        deadline_s = time.monotonic() + DEATH_S
        while self.is_alive and time.monotonic() < deadline_s and not self._answers(DEATH_S):
            time.sleep(LOOK_EVERY_S)
        return not self.is_alive

    def _obituary(self) -> str:
        """How it ended, with its last lines."""
        exit_code = self._process.wait()
        self._listening.join()
        said = "\n".join(self._last_lines)
        return f"{explain(exit_code)}\n\n{said}" if said else explain(exit_code)

    def _options(self) -> list[str]:
        plan = self.plan
        options = ["--model", str(plan.base), "--host", str(self.address), "--log-verbosity", "1"]
        options += ["--parallel", str(plan.slots), "--ctx-size", str(plan.slots * plan.context), "--no-context-shift"]
        for adapter in plan.adapters:
            options += ["--lora", str(adapter)]
        return [*options, "--lora-init-without-apply"] if plan.adapters else options

    def _answers(self, timeout_s: float | None = None) -> bool:
        try:
            self._asked("/health", timeout_s)
        except (OSError, http.client.HTTPException):
            return False
        return True

    def _asked(self, path: str, timeout_s: float | None = None) -> Any:  # noqa: ANN401  any JSON
        """Raises OSError, HTTPException where it does not answer yet."""
        connection = Connection(self.address, timeout_s)
        try:
            connection.request("GET", path)
            reply = connection.getresponse()
            if reply.status != http.client.OK:  # it is still loading
                raise http.client.HTTPException(reply.reason)
            return msgspec.json.decode(reply.read())
        finally:
            connection.close()

    def _listen(self) -> None:
        assert self._process.stdout is not None  # noqa: S101
        for text in self._process.stdout:
            said = text.decode(errors="replace").rstrip()
            self._last_lines.append(said)
            print(said, file=sys.stderr, flush=True)  # noqa: T201  into the log of the one who asks
