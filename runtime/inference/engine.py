"""The models in memory, one base in NF4 with adapters beside each other on it, and the sequences that they complete.

Continuous batching: between two tokens sequences join and leave. One pass computes the next token of all that run and
the whole prompts of those that have just come.
"""

import gc
import logging
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerBase

from runtime import device
from runtime import models as base_models
from runtime.device import Plan
from runtime.inference import adapter, ragged
from runtime.inference.adapters import Adapter, Adapters
from runtime.inference.ragged import Part
from runtime.inference.sampling import Sampler, logprobs
from runtime.inference.text import Writer, decoded, prompt_tokens
from runtime.worker_protocol import (
    AdapterFiles,
    Done,
    Generate,
    Generated,
    Load,
    LoadFailed,
    Piece,
    Refused,
    Request,
    TokenLogprob,
    Unload,
)
from state import models
from state.errors import ServiceError

log = logging.getLogger("inference")

MAX_RUNNING = 32  # sequences in one pass; more wait
PROMPT_TOKENS = 2048  # of newcomers in one pass: those that run wait for it no longer
UNBOUNDED = 1024  # new tokens where neither the request nor the model says how many

IsCancelled = Callable[[], bool]


class Base:
    """A base model, its tokenizer and its adapters, in memory."""

    def __init__(self, source: str, plan: Plan, quantized_bases: Path) -> None:
        """Raises ServiceError."""
        self.source = source
        self.tokenizer: PreTrainedTokenizerBase = base_models.load_tokenizer(source)
        self.model: PreTrainedModel = base_models.load_base(source, plan, quantized_bases).eval()
        self.forward = ragged.choose(self.model)
        self.adapters = Adapters(self.model)
        self.context_length = models.context_length(self.model.config.to_dict())
        self.end_tokens = _end_tokens(self.model, self.tokenizer)


class Sequence:
    """A completion that runs: made by one adapter, or the bare base, from its first token to its last."""

    def __init__(self, request: Generate, is_cancelled: IsCancelled, base: Base, chosen: Adapter | None) -> None:
        """Raises ServiceError for a prompt that the model cannot take."""
        self.request = request
        self.is_cancelled = is_cancelled
        self.adapter = chosen
        prompt = prompt_tokens(base.tokenizer, request.prompt)
        self.max_new_tokens = _room(len(prompt), request.choosing.max_new_tokens, base.context_length)
        self.num_prompt_tokens = len(prompt)
        self.num_new_tokens = 0
        self.next = prompt
        """The tokens that its next pass computes."""
        self.kept: Any = base.forward.new()
        self.sampler = Sampler(request.choosing, base.model.device)
        self.writer = Writer(base.tokenizer, prompt, request.choosing.stop)
        self.logprobs: list[TokenLogprob] = []
        self._base = base
        self._ends_by_itself = False

    @property
    def is_done(self) -> bool:
        return self._ends_by_itself or self.writer.is_stopped or self.num_new_tokens >= self.max_new_tokens

    def advance(self, logits_V: torch.Tensor) -> Piece:
        """Choose the token after a pass. Raises ServiceError for NaN."""
        token = self.sampler.choose(logits_V)
        self.num_new_tokens += 1
        self.next = [token]
        self._ends_by_itself = token in self._base.end_tokens
        text = "" if self._ends_by_itself else self.writer.write(token)
        likely = self._logprobs(logits_V, token)
        self.logprobs += likely
        if self.is_done:
            text += self.writer.finish()
        return Piece(self.request.id, text, likely if self.request.choosing.top_logprobs is not None else None)

    def generated(self) -> Generated:
        return Generated(
            text=self.writer.text,
            prompt_tokens=self.num_prompt_tokens,
            completion_tokens=self.num_new_tokens,
            finish_reason="stop" if self._ends_by_itself or self.writer.is_stopped else "length",
            logprobs=None if self.request.choosing.top_logprobs is None else self.logprobs,
        )

    def _logprobs(self, logits_V: torch.Tensor, token: int) -> list[TokenLogprob]:
        top = self.request.choosing.top_logprobs
        if top is None or self._ends_by_itself:
            return []
        return [logprobs(logits_V, token, top, lambda shown: decoded(self._base.tokenizer, [shown]))]


class Engine:
    """Takes requests in their order, and completes those of one base side by side."""

    def __init__(self, quantized_bases: Path) -> None:
        self._quantized_bases = quantized_bases
        self._plan = device.pick()
        self._base: Base | None = None
        self._waiting: deque[tuple[Request, IsCancelled]] = deque()
        self._running: list[Sequence] = []

    @property
    def is_idle(self) -> bool:
        return not (self._waiting or self._running)

    def add(self, request: Request, is_cancelled: IsCancelled = lambda: False) -> None:
        """`is_cancelled` is asked before each pass."""
        self._waiting.append((request, is_cancelled))

    def step(self) -> list[Piece | Done | Refused]:
        """Let in what can be let in, and compute one pass. Every request is answered once, by Done or Refused."""
        replies = self._admit()
        for sequence in [sequence for sequence in self._running if sequence.is_cancelled()]:
            self._running.remove(sequence)
            replies.append(Done(sequence.request.id, sequence.generated()))
        if self._base is not None and self._running:
            try:
                with _memory_in_words("generate"):
                    replies += self._pass(self._base)
            except ServiceError as error:
                replies += [Refused(sequence.request.id, str(error), loading=False) for sequence in self._running]
                self._running.clear()
        return replies

    def _admit(self) -> list[Piece | Done | Refused]:
        replies: list[Piece | Done | Refused] = []
        room = PROMPT_TOKENS
        while self._waiting:
            request, is_cancelled = self._waiting[0]
            if self._must_wait(request) or room <= 0:
                break
            self._waiting.popleft()
            try:
                match request:
                    case Load():
                        self._load(request.source, request.adapter)
                        replies.append(Done(request.id))
                    case Unload():
                        if self._base is not None:
                            self._base.adapters.clear()
                        replies.append(Done(request.id))
                    case Generate():
                        chosen = self._load(request.source, request.adapter) if request.adapter else None
                        sequence = Sequence(request, is_cancelled, self._have_base(request.source), chosen)
                        self._running.append(sequence)
                        room -= sequence.num_prompt_tokens
            except ServiceError as error:
                replies.append(Refused(request.id, str(error), loading=isinstance(error, LoadFailed)))
        return replies

    def _must_wait(self, request: Request) -> bool:
        """Behind those that run: another base takes the place of theirs."""
        if isinstance(request, Unload) or self._base is None:
            return False
        is_full = isinstance(request, Generate) and len(self._running) >= MAX_RUNNING
        return is_full or (bool(self._running) and self._base.source != request.source)

    @torch.inference_mode()
    def _pass(self, base: Base) -> list[Piece | Done | Refused]:
        self._running.sort(key=lambda sequence: id(sequence.adapter))  # an adapter's rows lie together
        replies: list[Piece | Done | Refused] = []
        together = [self._running] if base.forward.is_batched else [[sequence] for sequence in self._running]
        for sequences in together:
            base.adapters.work([(sequence.adapter, len(sequence.next)) for sequence in sequences])
            logits_NV = base.forward.logits([Part(sequence.next, sequence.kept) for sequence in sequences])
            for sequence, logits_V in zip(sequences, logits_NV, strict=True):
                try:
                    replies += _advanced(sequence, logits_V)
                except ServiceError as error:
                    sequence.max_new_tokens = 0
                    replies.append(Refused(sequence.request.id, str(error), loading=False))
        self._running = [sequence for sequence in self._running if not sequence.is_done]
        return replies

    def _load(self, source: str, files: AdapterFiles) -> Adapter:
        """An adapter on its base. Raises LoadFailed, and what was there before still answers.

        The adapter is checked before a base is loaded in the place of another.
        """
        loaded = self._base.adapters.get(files) if self._base and self._base.source == source else None
        if loaded is not None:
            return loaded
        checked = adapter.check(Path(files.path), _skeleton(source))
        base = self._have_base(source)
        try:
            with _memory_in_words("load the adapter"):
                return base.adapters.add(files, checked)
        except ServiceError as error:
            raise LoadFailed(str(error)) from error

    def _have_base(self, source: str) -> Base:
        if self._base is None or self._base.source != source:
            self._drop_base()
            began = time.monotonic()
            try:
                with _memory_in_words("load the base model"):
                    self._base = Base(source, self._plan, self._quantized_bases)
            except ServiceError as error:
                raise LoadFailed(str(error)) from error
            log.info("%s loaded on %s in %.1f s", source, self._plan.device, time.monotonic() - began)
        return self._base

    def _drop_base(self) -> None:
        """Give its memory back: two bases may not fit beside each other, nor beside a trainer."""
        self._base = None
        gc.collect()
        if torch.accelerator.is_available():
            torch.accelerator.empty_cache()


def _advanced(sequence: Sequence, logits_V: torch.Tensor) -> list[Piece | Done | Refused]:
    piece = sequence.advance(logits_V)
    replies: list[Piece | Done | Refused] = [piece] if sequence.request.stream else []
    if sequence.is_done:
        replies.append(Done(sequence.request.id, sequence.generated()))
    return replies


def _room(prompt: int, max_new: int | None, context: int | None) -> int:
    """The most new tokens. Raises ServiceError where the model's context is too short for them."""
    if max_new is None:
        max_new = UNBOUNDED if context is None else max(1, context - prompt)
    if context is not None and prompt + max_new > context:
        raise ServiceError(
            f"The prompt has {prompt} tokens and max_new_tokens is {max_new}: together {prompt + max_new}, "
            f"but the model's context is {context} tokens"
        )
    return max_new


def _end_tokens(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    """The tokens that end a text, as the model's own settings say, else its tokenizer.

    Nothing else is taken of a published model's generation settings, which may bring penalties and a top_k.
    """
    own = model.generation_config
    end = own.eos_token_id if own is not None else None
    if end is None:
        end = tokenizer.eos_token_id
    if end is None:
        return frozenset()
    return frozenset(end if isinstance(end, list) else [end])


@contextmanager
def _memory_in_words(action: str) -> Iterator[None]:
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise ServiceError(
            f"There is not enough device memory to {action}; a training job may be using it. {error}"
        ) from error


def _skeleton(source: str) -> PreTrainedModel:
    """A base's modules with shapes and no weights. Raises LoadFailed."""
    try:
        config = AutoConfig.from_pretrained(source, trust_remote_code=False)
        with torch.device("meta"):
            model: PreTrainedModel = AutoModelForCausalLM.from_config(config, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise LoadFailed(f"Model {source} cannot be loaded: {error}") from error
    return model
