"""A running completion by one adapter or the bare base, from its first token to its last."""

from collections.abc import Callable
from typing import Any

import torch
from llguidance import LLMatcher

from runtime.inference import limits
from runtime.inference.adapters import LoadedAdapter
from runtime.inference.base import Base
from runtime.inference.echo import PIECE_BYTES, PromptEcho
from runtime.inference.kv_cache import KVCache, capacity
from runtime.inference.prefix_cache import Prefix
from runtime.inference.sampling import Sampler, logprobs
from runtime.inference.tools.reading import CallReader
from runtime.messages.inference import CallPiece, Echo, Generate, Generated, TextDelta, TokenLogprob, ToolUse
from runtime.model.chat import stop_ids
from runtime.model.text import Detokenizer, decoded

AHEAD = 1024  # new tokens that memory is set aside for at a time, where the request does not say how many there will be

IsCancelled = Callable[[], bool]


class Sequence:
    """The tokens, the KV cache and the text of one completion. The engine computes its logits."""

    def __init__(
        self,
        request: Generate,
        is_cancelled: IsCancelled,
        base: Base,
        adapter: LoadedAdapter | None,
        grammar: LLMatcher | None = None,
    ) -> None:
        """Raises ServiceError for a prompt that the model cannot take, and for stop tokens that it does not have."""
        self.request = request
        self.base = base
        self.is_cancelled = is_cancelled
        self.adapter = adapter
        tools = request.sampling.tools.tools if request.sampling.tools else ()
        prompt = base.prompts.tokens(request.prompt, request.chat, tools)
        limits.check_bias(request.sampling.logit_bias, base.vocabulary)
        stop_tokens = stop_ids(base.tokenizer, request.chat.stop_tokens)
        self._end_tokens = base.end_tokens.union(stop_tokens)
        self.max_new_tokens = limits.max_new_tokens(len(prompt), request.sampling.max_new_tokens, base.context_length)
        self.num_prompt_tokens = len(prompt)
        self.tokens = list(prompt)
        """The prompt's, then those that were chosen."""
        self.num_computed = 0
        self.reserved = self._foreseen(request.sampling.max_new_tokens or AHEAD)
        """Tokens that memory is set aside for, the computed ones included."""
        self.cache: Any = base.runner.new_cache()
        self._echo = _echo(request, base, prompt) if request.sampling.echo else None
        self._sampler = Sampler(request.sampling, base.model.device, prompt)
        self._constraint = base.grammars.constraint(grammar, stop_tokens) if grammar else None
        self._reader = _reader(request.sampling.tools, request, base) if request.sampling.tools else None
        self._detokenizer = Detokenizer(base.tokenizer, prompt, request.sampling.stop, special=bool(tools))
        self._text_begin = len(self._echo.text) if self._echo else 0
        self._logprobs: list[TokenLogprob] = []
        self._is_at_end = False

    @property
    def num_new_tokens(self) -> int:
        return len(self.tokens) - self.num_prompt_tokens

    @property
    def is_prefilling(self) -> bool:
        """Whether a part of its prompt is still to be computed."""
        return self.num_computed < self.num_prompt_tokens

    @property
    def is_scored(self) -> bool:
        """Whether the logits after all tokens of its prompt are wanted."""
        return self._echo is not None and self._echo.is_scored

    @property
    def scoring_bytes(self) -> int:
        """What passes over its prompt take at most for logits of all its tokens, beside their own memory."""
        if not (self.is_scored and self.is_prefilling):
            return 0
        runner = self.base.runner
        rows = 2 * self.base.scored_chunk if runner.is_batched else self.num_prompt_tokens
        return rows * runner.logits_bytes + 2 * PIECE_BYTES

    @property
    def is_done(self) -> bool:
        return self._is_at_end or self._detokenizer.is_stopped or self.num_new_tokens >= self.max_new_tokens

    @property
    def wanted(self) -> int:
        """Tokens that more memory must be set aside for before the next pass; 0 if there is enough."""
        return self._foreseen(self.num_new_tokens + AHEAD) - self.reserved if len(self.tokens) > self.reserved else 0

    def advance(self, logits_NV: torch.Tensor) -> TextDelta | None:
        """Choose the token after a pass that computed the end of the prompt, or the last token; None after another.

        Raises ServiceError for logits that nothing can be chosen from.
        """
        if self._echo is not None:
            self._echo.take(logits_NV)
        if self.is_prefilling:
            return None
        echo = self._echo.said() if self._echo is not None and self.num_new_tokens == 0 else None
        if self.is_done:  # no new token is asked for
            return self._delta("", [], echo)
        token = self._choose(logits_NV[-1])
        self.tokens.append(token)
        begin = self._text_begin + self._detokenizer.length
        text = "" if token in self._end_tokens else self._detokenizer.add(token)
        likely = self._likely(logits_NV[-1], token, begin)
        self._logprobs += likely
        if self.is_done:
            text += self._detokenizer.finish()
        return self._delta(text, likely, echo)

    def _choose(self, logits_V: torch.Tensor) -> int:
        """The next token, and whether it is the last one."""
        constraint = self._constraint
        token = self._sampler.choose(
            logits_V, constraint.forbidden(len(logits_V), logits_V.device) if constraint else None
        )
        self._is_at_end = token in self._end_tokens
        if constraint and not self._is_at_end:
            constraint.take(token)
            self._is_at_end = constraint.is_complete
        return token

    def end_here(self) -> TextDelta:
        """End with finish_reason "length"; returns the text that was held back."""
        self.max_new_tokens = self.num_new_tokens
        return self._delta(self._detokenizer.finish(), [], None)

    def begin_with(self, cache: KVCache, length: int) -> None:
        """Take the first tokens' keys and values from another sequence, instead of computing them."""
        self.cache = cache.prefix(length)
        self.num_computed = length

    def as_prefix(self) -> Prefix:
        """The tokens and the KV cache of this sequence, for reuse as a prefix. They grow with the sequence."""
        return Prefix(self.request.adapter, self.tokens, self.cache)

    def generated(self) -> Generated:
        return Generated(
            text=self._reader.text if self._reader else self._detokenizer.text,
            prompt_tokens=self.num_prompt_tokens,
            completion_tokens=self.num_new_tokens,
            finish_reason="stop" if self._is_at_end or self._detokenizer.is_stopped else "length",
            logprobs=None if self.request.sampling.top_logprobs is None else self._logprobs,
            echo=self._echo.said() if self._echo else None,
            calls=self._reader.calls if self._reader else [],
        )

    def _delta(self, text: str, likely: list[TokenLogprob], echo: Echo | None) -> TextDelta:
        calls: list[CallPiece] = []
        if self._reader is not None:
            text, calls = self._reader.add(text, is_last=self.is_done)
            self._is_at_end |= self._reader.is_complete
        logprobs = None if self.request.sampling.top_logprobs is None else likely
        return TextDelta(self.request.id, text, logprobs, echo, calls)

    def _foreseen(self, num_new_tokens: int) -> int:
        return capacity(self.num_prompt_tokens + min(num_new_tokens, self.max_new_tokens))

    def _likely(self, logits_V: torch.Tensor, token: int, begin: int) -> list[TokenLogprob]:
        """Behind an echo the token that ends the text has its entry, too: who reads it counts tokens."""
        top = self.request.sampling.top_logprobs
        if top is None or (token in self._end_tokens and self._echo is None):
            return []
        shown = self.base.texts.__getitem__ if self._echo else lambda one: decoded(self.base.tokenizer, [one])
        return [logprobs(logits_V, token, top, begin, shown)]


def _reader(use: ToolUse, request: Generate, base: Base) -> CallReader:
    names = [tool.name for tool in use.tools if use.only in {None, tool.name}]
    return CallReader(base.form_of_calls(request), names, list(base.special_tokens), parallel=use.parallel)


def _echo(request: Generate, base: Base, prompt: list[int]) -> PromptEcho:
    text = request.prompt if isinstance(request.prompt, str) else None
    return PromptEcho(base.tokenizer, base.texts, text, prompt, request.sampling.top_logprobs)
