"""The engine that has llama-server compute: requests in their order, as many side by side as it has slots.

llama-server knows the base and the adapters that it was started with. For another one it is replaced, once the requests
that run have been answered; those behind wait so long. While something is converted, others are answered.

What fails is refused alone. A llama-server that dies takes with it the requests that it was at; the next has another.
"""

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
from runtime.inference.llamacpp.replaceable import ReplaceableServer
from runtime.inference.tokenizers import Tokenizers
from runtime.messages.inference import (
    Done,
    Generate,
    Load,
    Refused,
    Reply,
    Request,
    TokenizerQuestion,
    Unload,
)
from state.errors import ServiceError, first_line

IsCancelled = Callable[[], bool]

PATIENCE_S = 0.02  # that nothing but llama-server's events is looked at

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
        self._current = ReplaceableServer(program)
        self._conversions = Conversions(bases)
        self._tokenizers = Tokenizers(self._tokenizer_in_memory)
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
        base = self._current.base
        return base.tokenizer if base is not None and base.source == source else None

    def _start_waiting(self) -> None:
        """Start requests up to the first that has to wait for running ones; past those that wait for a conversion."""
        for waiting in list(self._waiting):
            request = waiting.request
            try:
                if waiting.is_cancelled():
                    self._replies.append(Done(request.id))
                elif isinstance(request, Unload):
                    self._current.forget(request.path)
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
        if not self._current.serves(base, adapter):
            if self._running:
                return False
            self._current.replace(request.source, base, adapter)
        if request.adapter is not None and adapter is not None:
            self._current.note_use(request.adapter, adapter)
        if isinstance(request, Load):
            self._replies.append(Done(request.id))
            return True
        return self._generate(waiting, request, adapter)

    def _generate(self, waiting: _Waiting, request: Generate, adapter: Path | None) -> bool:
        server, base = self._current.server, self._current.base
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
            raise ServiceError(server.explained(first_line(error))) from error
        self._running[request.id] = _Running(completion, call, waiting.is_cancelled)
        self._heard_s = time.monotonic()
        return True

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
        assert self._current.server is not None  # noqa: S101
        return self._current.server.explained("its connection broke")
