"""The engine that has llama-server compute: requests in their order, as many side by side as it has slots.

llama-server knows the base and the adapters that it was started with. For another one it is replaced, once the requests
that run have been answered; those behind wait so long. While something is converted, others are answered.

What fails is refused alone. A llama-server that dies takes with it the requests that it was at; the next has another.
"""

import logging
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from queue import Empty, SimpleQueue

from msgspec import Struct
from transformers import PreTrainedTokenizerBase

from runtime.inference.llamacpp import wording
from runtime.inference.llamacpp.call import Call, Event, Failed
from runtime.inference.llamacpp.completion import Completion
from runtime.inference.llamacpp.conversion import Conversions
from runtime.inference.llamacpp.described import Described, describe
from runtime.inference.llamacpp.server import LlamaServer, Plan
from runtime.inference.tokenizers import Tokenizers
from runtime.messages.inference import (
    AdapterFiles,
    Done,
    Generate,
    Load,
    Refused,
    Reply,
    Request,
    TokenizerQuestion,
    Unload,
)
from runtime.process import memory
from state.errors import ServiceError, first_line

log = logging.getLogger("inference")

IsCancelled = Callable[[], bool]

MAX_ADAPTERS = 16  # that a llama-server is started with: those that were asked for last
PATIENCE_S = 0.02  # that nothing but llama-server's events is looked at
KV_SHARE, PREFIX_SHARE = 1 / 4, 1 / 16  # of the free memory, for llama-server's cache, which it fills at its start
MIN_SLOTS, MAX_SLOTS = 4, 16
SHORTEST_CONTEXT = 512


Files = tuple[Path, Path | None]
"""The GGUF files of a request's base and of its adapter."""


class _Waiting(Struct, eq=False):
    request: Load | Unload | Generate
    is_cancelled: IsCancelled
    files: Files | None = None
    """Once they have been made."""


class _Running(Struct):
    completion: Completion
    call: Call
    is_cancelled: IsCancelled


class LlamaCppEngine:
    """Takes requests in their order, and has llama-server complete those of one base side by side."""

    def __init__(self, bases: Path, program: Path) -> None:
        """`program` is a llama-server."""
        self._program = program
        self._conversions = Conversions(bases)
        self._tokenizers = Tokenizers(self._tokenizer_in_memory)
        self._base: Described | None = None
        self._adapters: dict[AdapterFiles, Path] = {}
        """Those that the next llama-server is started with; the most recently used one is the last."""
        self._server: LlamaServer | None = None
        self._waiting: deque[_Waiting] = deque()
        self._running: dict[int, _Running] = {}
        self._events: SimpleQueue[tuple[int, Event]] = SimpleQueue()
        self._replies: list[Reply] = []
        self._heard_s = 0.0

    @property
    def is_idle(self) -> bool:
        return not (self._waiting or self._running)

    @property
    def pass_began_s(self) -> float | None:
        """When llama-server was last heard of, by the monotonic clock; None where nothing is asked of it."""
        return self._heard_s if self._running else None

    def add(self, request: Request, is_cancelled: IsCancelled = lambda: False) -> None:
        """`is_cancelled` is asked at each step. A question of a tokenizer is answered here: it waits for nobody."""
        if isinstance(request, TokenizerQuestion):
            try:
                self._replies.append(Done(request.id, told=self._tokenizers.answer(request)))
            except ServiceError as error:
                self._replies.append(Refused(request.id, str(error)))
            return
        self._waiting.append(_Waiting(request, is_cancelled))

    def take_replies(self) -> list[Reply]:
        """The replies since the last call. Every request is answered once, by Done or Refused."""
        replies, self._replies = self._replies, []
        return replies

    def step(self) -> None:
        """Start the requests that can start, and hear what llama-server says, for a moment at least."""
        for number in [number for number, running in self._running.items() if running.is_cancelled()]:
            self._end(number)
        self._start_waiting()
        if not self.is_idle:
            self._hear()

    def _tokenizer_in_memory(self, source: str) -> PreTrainedTokenizerBase | None:
        return self._base.tokenizer if self._base is not None and self._base.source == source else None

    def _start_waiting(self) -> None:
        """Start requests up to the first that has to wait for running ones; past those that wait for a conversion."""
        for waiting in list(self._waiting):
            request = waiting.request
            try:
                if waiting.is_cancelled():
                    self._replies.append(Done(request.id))
                elif isinstance(request, Unload):
                    self._forget(request.path)
                    self._replies.append(Done(request.id))
                elif (files := waiting.files or self._converted(request)) is None:
                    continue
                else:
                    waiting.files = files
                    if not self._start(waiting, request, *files):
                        return
            except ServiceError as error:
                self._replies.append(Refused(request.id, str(error)))
            self._waiting.remove(waiting)

    def _converted(self, request: Load | Generate) -> Files | None:
        """None while one is being made. Raises ServiceError."""
        if isinstance(request, Generate):
            wording.check(request.sampling)
        try:
            base = self._conversions.base(request.source)
            adapter = self._conversions.adapter(request.source, request.adapter) if request.adapter else None
        except ServiceError as error:
            raise ServiceError(f"The engine llama.cpp cannot serve this: {error}") from error
        return None if base is None or (request.adapter and adapter is None) else (base, adapter)

    def _start(self, waiting: _Waiting, request: Load | Generate, base: Path, adapter: Path | None) -> bool:
        """Start a request, or answer it. Returns False while it has to wait for running ones. Raises ServiceError."""
        if not self._serves(base, adapter):
            if self._running:
                return False
            self._replace(request, base, adapter)
        if request.adapter is not None and adapter is not None:
            self._adapters.pop(request.adapter, None)
            self._adapters[request.adapter] = adapter
        if isinstance(request, Load):
            self._replies.append(Done(request.id))
            return True
        return self._generate(waiting, request, adapter)

    def _serves(self, base: Path, adapter: Path | None) -> bool:
        server = self._server
        if server is None or not server.is_alive or server.plan.base != base:
            return False
        return adapter is None or adapter in server.plan.adapters

    def _replace(self, request: Load | Generate, base: Path, adapter: Path | None) -> None:
        """Another llama-server in the place of the one before, which nobody asks anything. Raises ServiceError."""
        began_s = time.monotonic()
        if self._server is not None:
            self._server.end()
            self._server = None
        if self._base is None or self._base.source != request.source:
            self._adapters.clear()
            self._base = describe(request.source)
        kept = [path for path in self._adapters.values() if path != adapter and path.exists()]
        adapters = (*kept[1 - MAX_ADAPTERS :], *([adapter] if adapter else []))
        plan = Plan(base, adapters, *_sizes(self._base, memory.free()))
        self._server = LlamaServer(self._program, plan, int(PREFIX_SHARE * memory.free() / 2**20))
        log.info(
            "llama-server has %s and %d adapters after %.1f s",
            request.source, len(adapters), time.monotonic() - began_s,
        )  # fmt: skip

    def _generate(self, waiting: _Waiting, request: Generate, adapter: Path | None) -> bool:
        server, base = self._server, self._base
        assert server is not None  # noqa: S101
        assert base is not None  # noqa: S101
        if len(self._running) >= server.plan.slots:
            return False
        completion = Completion(request, base, server.context)
        if completion.is_done:
            if request.stream:
                self._replies.append(completion.nothing())
            self._replies.append(Done(request.id, completion.generated()))
            return True
        place = None if adapter is None else server.plan.adapters.index(adapter)
        asked = wording.body(
            completion.prompt, request.sampling, completion.max_new_tokens, place, len(server.plan.adapters)
        )
        try:
            call = Call(server.address, asked, lambda event: self._events.put((request.id, event)))
        except OSError as error:
            raise ServiceError(self._explained(server, first_line(error))) from error
        self._running[request.id] = _Running(completion, call, waiting.is_cancelled)
        self._heard_s = time.monotonic()
        return True

    def _forget(self, path: str | None) -> None:
        """Start the next llama-server without an adapter, or any. The one that runs keeps its few megabytes."""
        self._adapters = {files: kept for files, kept in self._adapters.items() if path not in {None, files.path}}

    def _hear(self) -> None:
        """Take the events that have come; wait for one a moment."""
        patience_s: float | None = PATIENCE_S
        while True:
            try:
                number, event = self._events.get(block=patience_s is not None, timeout=patience_s)
            except Empty:
                return
            patience_s = None
            self._heard_s = time.monotonic()
            if number in self._running:  # else it has been given up
                self._take(number, event)

    def _take(self, number: int, event: Event) -> None:
        completion = self._running[number].completion
        if isinstance(event, Failed):
            del self._running[number]
            self._replies.append(Refused(number, self._reason(event)))
            return
        if event.prompt_progress is not None:  # a sign of life
            return
        delta = completion.take(event)
        if completion.request.stream:
            self._replies.append(delta)
        if completion.is_done:
            self._end(number)

    def _end(self, number: int) -> None:
        """Answer for a completion, complete or cancelled, and leave its slot to others."""
        running = self._running.pop(number)
        running.call.close()
        self._replies.append(Done(number, running.completion.generated()))

    def _reason(self, failed: Failed) -> str:
        if failed.message is not None:
            return f"llama-server refuses: {failed.message}"
        assert self._server is not None  # noqa: S101
        return self._explained(self._server, "its connection broke")

    def _explained(self, server: LlamaServer, otherwise: str) -> str:
        if not server.has_died():
            return f"llama-server gave no answer: {otherwise}"
        return f"llama-server died; the next request starts another. {server.obituary()}"


def _sizes(base: Described, free_bytes: int) -> tuple[int, int]:
    """How many slots, and of how many tokens, a part of the free memory has room for.

    As many as hold whole contexts, within bounds; where memory is short, each is shorter.
    """
    tokens = int(KV_SHARE * free_bytes / max(1, base.kv_bytes))
    whole = base.context_length or tokens // MIN_SLOTS
    slots = min(MAX_SLOTS, max(MIN_SLOTS, tokens // max(1, whole)))
    return slots, max(SHORTEST_CONTEXT, min(whole, tokens // slots))
