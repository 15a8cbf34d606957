"""The models in memory, one base in NF4 with adapters beside each other on it, and the sequences that they complete.

Continuous batching: between two tokens sequences join and leave. One pass computes the next token of all that write,
and of those that still read their prompts a piece each: nobody waits for another's long prompt.
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
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from runtime.inference import ragged
from runtime.inference.adapters import Adapter, Adapters
from runtime.inference.prefixes import WORTH, Computed, Prefixes, in_common
from runtime.inference.ragged import Kept, Part
from runtime.inference.sampling import Sampler, logprobs
from runtime.inference.text import Writer, decoded, prompt_tokens
from runtime.messages.inference import (
    AdapterFiles,
    Done,
    Generate,
    Generated,
    Load,
    Piece,
    Refused,
    Request,
    TokenLogprob,
    Unload,
)
from runtime.model import adapter_files, bases, device
from runtime.model.device import Plan
from state import models
from state.errors import LoadFailed, ServiceError

log = logging.getLogger("inference")

MAX_RUNNING = 32  # sequences in one pass; more wait
CPU_PIECE, ACCELERATOR_PIECE = 512, 4096  # tokens of prompts in one pass: those that write wait for it no longer
REMEMBERED_SHARE = 1 / 16  # of the device's memory, for keys and values that another prompt may begin with
UNBOUNDED = 1024  # new tokens where neither the request nor the model says how many

IsCancelled = Callable[[], bool]


class Base:
    """A base model, its tokenizer and its adapters, in memory."""

    def __init__(self, source: str, plan: Plan, quantized_bases: Path) -> None:
        """Raises ServiceError."""
        self.source = source
        self.tokenizer: PreTrainedTokenizerBase = bases.load_tokenizer(source)
        self.model: PreTrainedModel = bases.load_base(source, plan, quantized_bases).eval()
        self.forward = ragged.choose(self.model)
        self.adapters = Adapters(self.model)
        self.prefixes = Prefixes(int(REMEMBERED_SHARE * plan.memory_mb * 2**20))
        self.piece = CPU_PIECE if self.model.device.type == "cpu" else ACCELERATOR_PIECE
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
        self.tokens = list(prompt)
        """The prompt's, then those that were chosen."""
        self.num_computed = 0
        self.kept: Any = base.forward.new()
        self.sampler = Sampler(request.choosing, base.model.device)
        self.writer = Writer(base.tokenizer, prompt, request.choosing.stop)
        self.logprobs: list[TokenLogprob] = []
        self._base = base
        self._ends_by_itself = False

    @property
    def num_new_tokens(self) -> int:
        return len(self.tokens) - self.num_prompt_tokens

    @property
    def is_reading(self) -> bool:
        """Whether some of its prompt is still to be computed."""
        return self.num_computed < self.num_prompt_tokens

    @property
    def is_done(self) -> bool:
        return self._ends_by_itself or self.writer.is_stopped or self.num_new_tokens >= self.max_new_tokens

    def advance(self, logits_V: torch.Tensor) -> Piece:
        """Choose the token after a pass. Raises ServiceError for NaN."""
        token = self.sampler.choose(logits_V)
        self.tokens.append(token)
        self._ends_by_itself = token in self._base.end_tokens
        text = "" if self._ends_by_itself else self.writer.write(token)
        likely = self._logprobs(logits_V, token)
        self.logprobs += likely
        if self.is_done:
            text += self.writer.finish()
        return Piece(self.request.id, text, likely if self.request.choosing.top_logprobs is not None else None)

    def begin_with(self, kept: Kept, length: int) -> None:
        """Take the first tokens' keys and values from another sequence."""
        self.kept = kept.beginning(length)
        self.num_computed = length

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
        self.pass_began_s: float | None = None
        """By the monotonic clock; None between passes."""

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
            self._remove(sequence)
            replies.append(Done(sequence.request.id, sequence.generated()))
        if self._base is not None and self._running:
            self.pass_began_s = time.monotonic()
            try:
                with _memory_in_words("generate"):
                    replies += self._pass(self._base)
            except ServiceError as error:
                replies += [Refused(sequence.request.id, str(error), loading=False) for sequence in self._running]
                self._running.clear()
            self.pass_began_s = None
        return replies

    def _admit(self) -> list[Piece | Done | Refused]:
        replies: list[Piece | Done | Refused] = []
        while self._waiting:
            request, is_cancelled = self._waiting[0]
            if self._must_wait(request):
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
                            self._base.prefixes.keep_those_of(())
                        replies.append(Done(request.id))
                    case Generate():
                        chosen = self._load(request.source, request.adapter) if request.adapter else None
                        base = self._have_base(request.source)
                        self._running.append(Sequence(request, is_cancelled, base, chosen))
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
        replies: list[Piece | Done | Refused] = []
        parts = self._parts(base)
        parts.sort(key=lambda part: id(part[0].adapter))  # an adapter's rows lie together
        for together in [parts] if base.forward.is_batched else [[part] for part in parts]:
            base.adapters.work([(sequence.adapter, len(tokens)) for sequence, tokens in together])
            logits_NV = base.forward.logits([Part(tokens, sequence.kept) for sequence, tokens in together])
            for (sequence, tokens), logits_V in zip(together, logits_NV, strict=True):
                sequence.num_computed += len(tokens)
                if not sequence.is_reading:
                    replies += self._advanced(sequence, logits_V)
        return replies

    def _parts(self, base: Base) -> list[tuple[Sequence, list[int]]]:
        """The sequences of this pass, with the tokens that each has computed: its last one, or a piece of its prompt.

        Pieces have the length that they would have alone, so that a prompt is read as it would be alone.
        """
        parts = []
        room = base.piece
        for number, sequence in enumerate(self._running):
            if sequence.is_reading and (room <= 0 or not self._has_begun(base, number)):
                continue
            first = sequence.num_computed
            tokens = sequence.tokens[first : first + base.piece] if base.forward.is_batched else sequence.tokens[first:]
            room -= len(tokens) if sequence.is_reading else 0
            parts.append((sequence, tokens))
        return parts

    def _has_begun(self, base: Base, number: int) -> bool:
        """Let a sequence that has read nothing begin with what others have of its prompt.

        False while one ahead of it reads a beginning that they have in common: this one will have it then.
        """
        sequence = self._running[number]
        if sequence.num_computed > 0 or not base.forward.is_batched:
            return True
        adapter, prompt = sequence.request.adapter, sequence.tokens[:-1]  # the last one's logits are wanted
        best, most = base.prefixes.longest(adapter, prompt)
        kept = best.kept if best is not None else None
        for other in self._running[:number]:
            common = in_common(prompt, other.tokens) if other.request.adapter == adapter else 0
            if other.is_reading and common - max(most, other.num_computed) >= WORTH:
                return False
            if min(common, other.num_computed) > most:
                kept, most = other.kept, min(common, other.num_computed)
        if kept is not None and most >= WORTH:
            sequence.begin_with(kept, most)
        return True

    def _advanced(self, sequence: Sequence, logits_V: torch.Tensor) -> list[Piece | Done | Refused]:
        """Choose a sequence's next token; it leaves when that was its last."""
        try:
            piece = sequence.advance(logits_V)
        except ServiceError as error:
            self._running.remove(sequence)
            return [Refused(sequence.request.id, str(error), loading=False)]
        replies: list[Piece | Done | Refused] = [piece] if sequence.request.stream else []
        if sequence.is_done:
            self._remove(sequence)
            replies.append(Done(sequence.request.id, sequence.generated()))
        return replies

    def _remove(self, sequence: Sequence) -> None:
        self._running.remove(sequence)
        if self._base is not None and self._base.forward.is_batched:
            self._base.prefixes.leave(Computed(sequence.request.adapter, sequence.tokens, sequence.kept))

    def _load(self, source: str, files: AdapterFiles) -> Adapter:
        """An adapter on its base. Raises LoadFailed, and what was there before still answers.

        The adapter is checked before a base is loaded in the place of another.
        """
        loaded = self._base.adapters.get(files) if self._base and self._base.source == source else None
        if loaded is not None:
            return loaded
        checked = adapter_files.check(Path(files.path), adapter_files.skeleton(source))
        base = self._have_base(source)
        try:
            with _memory_in_words("load the adapter"):
                added = base.adapters.add(files, checked)
        except ServiceError as error:
            raise LoadFailed(str(error)) from error
        base.prefixes.keep_those_of(base.adapters.loaded)
        return added

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
