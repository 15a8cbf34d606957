"""Requests that have not started, in their order."""

from collections import deque
from concurrent.futures import FIRST_COMPLETED, Future, wait
from itertools import compress

from llguidance import LLMatcher
from msgspec import Struct

from runtime.inference.sequence import IsCancelled, Sequence
from runtime.messages.inference import Request

PATIENCE_S = 0.02  # that nothing else is looked at while all there is to do is to compile grammars


class Waiting(Struct):
    """A request that has not started; `sequence` once its prompt is tokenized, and it only waits for memory."""

    request: Request
    is_cancelled: IsCancelled
    grammar: Future[LLMatcher] | None = None
    """What the answer is held to, once that is known."""
    sequence: Sequence | None = None

    @property
    def is_ready(self) -> bool:
        """Whether it does not wait for a grammar."""
        return self.grammar is None or self.grammar.done()


class WaitingLine:
    """Requests in their order. Those whose grammar is being compiled step aside, and come first when it is there."""

    def __init__(self) -> None:
        self._line: deque[Waiting] = deque()
        self._aside: list[Waiting] = []

    def __bool__(self) -> bool:
        """Whether any is waiting, be it aside."""
        return bool(self._line or self._aside)

    @property
    def first(self) -> Waiting | None:
        return self._line[0] if self._line else None

    def add(self, waiting: Waiting) -> None:
        self._line.append(waiting)

    def take_first(self) -> None:
        self._line.popleft()

    def put_aside(self, waiting: Waiting) -> None:
        self._aside.append(waiting)

    def take_back(self, *, is_idle: bool) -> None:
        """Have those whose grammar is there in the line again; where there is nothing else to do, wait for one."""
        if self._aside and is_idle and not self._line:
            wait([waiting.grammar for waiting in self._aside if waiting.grammar], PATIENCE_S, FIRST_COMPLETED)
        ready = [waiting.is_ready for waiting in self._aside]
        self._line.extendleft(reversed(list(compress(self._aside, ready))))
        self._aside = [waiting for waiting, is_ready in zip(self._aside, ready, strict=True) if not is_ready]
