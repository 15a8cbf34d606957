"""What answers are held to: grammars, compiled for one tokenizer, and the tokens that they let come next.

By llguidance (https://github.com/guidance-ai/llguidance). Neither compiling nor computing which tokens are allowed
happens in the engine's own thread: both run beside the model's passes, so that requests without a grammar do not wait
for those that have one.
"""

from collections.abc import Callable, Collection, Hashable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import llguidance.hf
import numpy as np
import torch
from llguidance import LLMatcher, LLTokenizer
from transformers import PreTrainedTokenizerBase

from state.errors import ServiceError

MAX_KEPT = 64  # compiled grammars; a large one takes some MB
_COMPILING = ThreadPoolExecutor(1, "grammars")
_MASKING = ThreadPoolExecutor(1, "masks")  # of a mask's 50 us to 9 ms, a second thread would save what it costs


class Grammars:
    """The grammars of one tokenizer; those used last are kept."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, end_tokens: Collection[int]) -> None:
        self._tokenizer = tokenizer
        self._end_tokens = sorted(end_tokens)
        self._known: LLTokenizer | None = None
        self._compiled: dict[Hashable, Future[LLMatcher]] = {}
        """The least recently used one first."""

    def compiled(self, key: Hashable, written: Callable[[], str]) -> Future[LLMatcher]:
        """A grammar, soon; `written` writes it down where nothing is known by the key. It may raise ServiceError."""
        found = self._compiled.pop(key, None)
        if found is None or (found.done() and found.exception() is not None):
            found = _COMPILING.submit(self._compile, written)
        self._compiled[key] = found
        while len(self._compiled) > MAX_KEPT:
            del self._compiled[next(iter(self._compiled))]
        return found

    def constraint(self, compiled: LLMatcher, stop_tokens: Collection[int]) -> "Constraint":
        """For one answer, which may also end with these tokens where it may end."""
        return Constraint(compiled.deep_copy(), self._end_tokens, stop_tokens)

    def _compile(self, written: Callable[[], str]) -> LLMatcher:
        text = written()
        if self._known is None:  # seconds for a large vocabulary, once
            self._known = self._tokenizer_of_grammars()
        matcher = LLMatcher(self._known, text, log_level=0)
        if matcher.is_error():
            raise ServiceError(f"The answer's grammar cannot be held: {matcher.get_error().partition('<state>')[0]}")
        return matcher

    def _tokenizer_of_grammars(self) -> LLTokenizer:
        if not self._tokenizer.is_fast:
            raise ServiceError(
                "This model's tokenizer cannot be held to a grammar: it has no tokenizer.json. Leave response_format "
                "and strict tools out"
            )
        tokenizer: Any = self._tokenizer
        return llguidance.hf.from_tokenizer(tokenizer, len(self._tokenizer), self._end_tokens or None)


class Constraint:
    """Which tokens may come next in one answer."""

    def __init__(self, matcher: LLMatcher, end_tokens: list[int], stop_tokens: Collection[int]) -> None:
        self._matcher = matcher
        self._end_tokens = end_tokens
        self._stop_tokens = sorted(stop_tokens)
        self._next = _MASKING.submit(matcher.compute_bitmask)
        """Until it is there, nobody else may touch the matcher."""
        self.is_complete = False
        """Whether nothing can follow."""

    @property
    def _is_stuck(self) -> bool:
        return self._matcher.is_error() or (self._matcher.is_stopped() and not self._matcher.is_accepting())

    def forbidden(self, vocabulary: int, device: torch.device) -> torch.Tensor:
        """Of so many tokens [V], those that must not come next. Raises ServiceError where none can."""
        bits = np.frombuffer(self._next.result(), np.uint8)
        allowed = np.unpackbits(bits, bitorder="little", count=min(vocabulary, 8 * len(bits)))
        if self._stop_tokens and self._end_tokens:
            allowed[self._stop_tokens] = allowed[self._end_tokens[0]]
        if self._is_stuck or not allowed.any():
            raise ServiceError("The answer cannot go on as it is asked for: the model has no token that may come next")
        forbidden = np.ones(vocabulary, np.bool_)
        forbidden[: len(allowed)] = allowed == 0
        return torch.from_numpy(forbidden).to(device)

    def take(self, token: int) -> None:
        """Go on behind a token that was allowed. Raises ServiceError where that cannot be followed."""
        if not self._matcher.consume_token(token):
            raise ServiceError("The answer left its grammar: its parts are too many to be followed")
        self.is_complete = self._matcher.is_stopped()
        if not self.is_complete:
            self._next = _MASKING.submit(self._matcher.compute_bitmask)
