"""A running completion by one adapter or the bare base, from its first token to its last."""

from collections.abc import Callable
from typing import Any

import torch

from runtime.inference.adapters import LoadedAdapter
from runtime.inference.base import Base
from runtime.inference.kv_cache import KVCache, capacity
from runtime.inference.prefix_cache import Prefix
from runtime.inference.sampling import Sampler, logprobs
from runtime.inference.text import Detokenizer, decoded
from runtime.messages.inference import Generate, Generated, TextDelta, TokenLogprob
from runtime.model.chat import stop_ids
from state.errors import ServiceError

UNBOUNDED = 1024  # new tokens where neither the request nor the model says how many
AHEAD = 1024  # new tokens that memory is set aside for at a time, where the request does not say how many there will be

IsCancelled = Callable[[], bool]


class Sequence:
    """The tokens, the KV cache and the text of one completion. The engine computes its logits."""

    def __init__(self, request: Generate, is_cancelled: IsCancelled, base: Base, adapter: LoadedAdapter | None) -> None:
        """Raises ServiceError for a prompt that the model cannot take, and for stop tokens that it does not have."""
        self.request = request
        self.base = base
        self.is_cancelled = is_cancelled
        self.adapter = adapter
        prompt = base.prompts.tokens(request.prompt, request.chat)
        self._end_tokens = base.end_tokens.union(stop_ids(base.tokenizer, request.chat.stop_tokens))
        self.max_new_tokens = _max_new_tokens(len(prompt), request.sampling.max_new_tokens, base.context_length)
        self.num_prompt_tokens = len(prompt)
        self.tokens = list(prompt)
        """The prompt's, then those that were chosen."""
        self.num_computed = 0
        self.reserved = self._foreseen(request.sampling.max_new_tokens or AHEAD)
        """Tokens that memory is set aside for, the computed ones included."""
        self.cache: Any = base.runner.new_cache()
        self._sampler = Sampler(request.sampling, base.model.device)
        self._detokenizer = Detokenizer(base.tokenizer, prompt, request.sampling.stop)
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
    def is_done(self) -> bool:
        return self._is_at_end or self._detokenizer.is_stopped or self.num_new_tokens >= self.max_new_tokens

    @property
    def wanted(self) -> int:
        """Tokens that more memory must be set aside for before the next pass; 0 if there is enough."""
        return self._foreseen(self.num_new_tokens + AHEAD) - self.reserved if len(self.tokens) > self.reserved else 0

    def advance(self, logits_V: torch.Tensor) -> TextDelta:
        """Choose the token after a pass. Raises ServiceError for logits that nothing can be chosen from."""
        token = self._sampler.choose(logits_V)
        self.tokens.append(token)
        self._is_at_end = token in self._end_tokens
        text = "" if self._is_at_end else self._detokenizer.add(token)
        likely = self._likely(logits_V, token)
        self._logprobs += likely
        if self.is_done:
            text += self._detokenizer.finish()
        return TextDelta(self.request.id, text, likely if self.request.sampling.top_logprobs is not None else None)

    def end_here(self) -> TextDelta:
        """End with finish_reason "length"; returns the text that was held back."""
        self.max_new_tokens = self.num_new_tokens
        return TextDelta(
            self.request.id, self._detokenizer.finish(), None if self.request.sampling.top_logprobs is None else []
        )

    def begin_with(self, cache: KVCache, length: int) -> None:
        """Take the first tokens' keys and values from another sequence, instead of computing them."""
        self.cache = cache.prefix(length)
        self.num_computed = length

    def as_prefix(self) -> Prefix:
        """The tokens and the KV cache of this sequence, for reuse as a prefix. They grow with the sequence."""
        return Prefix(self.request.adapter, self.tokens, self.cache)

    def generated(self) -> Generated:
        return Generated(
            text=self._detokenizer.text,
            prompt_tokens=self.num_prompt_tokens,
            completion_tokens=self.num_new_tokens,
            finish_reason="stop" if self._is_at_end or self._detokenizer.is_stopped else "length",
            logprobs=None if self.request.sampling.top_logprobs is None else self._logprobs,
        )

    def _foreseen(self, num_new_tokens: int) -> int:
        return capacity(self.num_prompt_tokens + min(num_new_tokens, self.max_new_tokens))

    def _likely(self, logits_V: torch.Tensor, token: int) -> list[TokenLogprob]:
        top = self.request.sampling.top_logprobs
        if top is None or self._is_at_end:
            return []
        return [logprobs(logits_V, token, top, lambda shown: decoded(self.base.tokenizer, [shown]))]


def _max_new_tokens(prompt: int, asked: int | None, context: int | None) -> int:
    """Raises ServiceError where the model's context is too short for what is asked."""
    if asked is None:
        asked = UNBOUNDED if context is None else max(1, context - prompt)
    if context is not None and prompt + asked > context:
        raise ServiceError(
            f"The prompt has {prompt} tokens and max_new_tokens is {asked}: together {prompt + asked}, "
            f"but the model's context is {context} tokens"
        )
    return asked
