"""The sequences that one base and its adapters complete, side by side.

Continuous batching: between two tokens sequences join and leave. One pass computes the next token of all that generate,
and a chunk of the prompts of those that don't yet: nobody waits for another's long prompt.

What fails is refused alone, and the others go on.
"""

import logging
from pathlib import Path

import torch
from transformers import PreTrainedTokenizerBase

from runtime.inference import failures
from runtime.inference.base import Base
from runtime.inference.kv_budget import KVBudget
from runtime.inference.loading import FreeMemory, Loader
from runtime.inference.passes import Passes
from runtime.inference.scheduling import schedule
from runtime.inference.sequence import IsCancelled, Sequence
from runtime.inference.tokenizers import Tokenizers
from runtime.inference.waiting import Waiting, WaitingLine
from runtime.messages.inference import (
    Done,
    Generate,
    Load,
    Refused,
    Reply,
    Request,
    TextDelta,
    TokenizerQuestion,
    Unload,
)
from runtime.model import device, memory
from state.errors import ServiceError

log = logging.getLogger("inference")

MAX_RUNNING = 32  # sequences in one pass; more wait


class Engine:
    """Takes requests in their order, and completes those of one base side by side."""

    def __init__(self, quantized_bases: Path, free_memory: FreeMemory = memory.free) -> None:
        setup = device.pick()
        self._device = setup.device
        self._free_memory = free_memory
        self._to_be_left = 0
        self._loader = Loader(quantized_bases, setup, self._free)
        self._budget = KVBudget(lambda: self._free(setup.device))
        self._tokenizers = Tokenizers(self._tokenizer_in_memory)
        self._passes = Passes()
        self._waiting = WaitingLine()
        self._running: list[Sequence] = []
        self._replies: list[Reply] = []

    @property
    def is_idle(self) -> bool:
        return not (self._waiting or self._running)

    @property
    def pass_began_s(self) -> float | None:
        """By the monotonic clock; None between passes."""
        return self._passes.began_s

    def add(self, request: Request, is_cancelled: IsCancelled = lambda: False) -> None:
        """`is_cancelled` is asked before each pass. A question of a tokenizer is answered here: it waits for nobody."""
        if isinstance(request, TokenizerQuestion):
            self._tell_of_tokenizer(request)
            return
        if isinstance(request, Load | Generate):
            self._leave(request.leave_mb * 2**20)
        self._waiting.add(Waiting(request, is_cancelled))

    def take_replies(self) -> list[Reply]:
        """The replies since the last call. Every request is answered once, by Done or Refused."""
        replies, self._replies = self._replies, []
        return replies

    def step(self) -> None:
        """Start the requests that can start, and compute one pass.

        Raises what leaves the device unable to compute; replies made by then can still be taken.
        """
        for sequence in [sequence for sequence in self._running if sequence.is_cancelled()]:
            self._end(sequence)
        self._waiting.take_back(is_idle=not self._running)
        while (first := self._waiting.first) is not None and not self._must_wait(first.request):
            if not self._start(first):
                break
            self._waiting.take_first()
        if self._loader.base is not None and self._running:
            self._pass(self._loader.base)

    def _free(self, device: str) -> int:
        """What of a device's memory may be taken: jobs that train beside may still need a part of what is free."""
        return max(0, self._free_memory(device) - self._to_be_left)

    def _leave(self, to_others: int) -> None:
        if to_others or self._to_be_left:
            memory.leave(self._device, to_others)
        self._to_be_left = to_others

    def _tokenizer_in_memory(self, source: str) -> PreTrainedTokenizerBase | None:
        base = self._loader.base
        return base.tokenizer if base is not None and base.source == source else None

    def _tell_of_tokenizer(self, question: TokenizerQuestion) -> None:
        try:
            self._replies.append(Done(question.id, told=self._tokenizers.answer(question)))
        except Exception as error:
            if failures.is_fatal(error):
                raise
            self._refuse(question, error, "ask the tokenizer")

    def _must_wait(self, request: Request) -> bool:
        """Whether a request has to wait for running sequences: all places are taken, or another base must be loaded."""
        base = self._loader.base
        if isinstance(request, Unload) or base is None:
            return False
        is_full = isinstance(request, Generate) and len(self._running) >= MAX_RUNNING
        return is_full or (bool(self._running) and base.source != request.source)

    def _start(self, waiting: Waiting) -> bool:
        """Start a request, or answer it. Returns False while its KV cache has to wait for memory."""
        try:
            if waiting.is_cancelled():
                self._replies.append(Done(waiting.request.id))
                return True
            match waiting.request:
                case Load(id=number, source=source, adapter=files):
                    self._loader.load_adapter(source, files)
                    self._replies.append(Done(number))
                case Unload(id=number, path=path):
                    self._loader.unload_adapters(path)
                    self._replies.append(Done(number))
                case Generate():
                    return self._start_sequence(waiting, waiting.request)
        except Exception as error:
            if failures.is_fatal(error):
                raise
            self._refuse(waiting.request, error, "start the request")
        return True

    def _start_sequence(self, waiting: Waiting, request: Generate) -> bool:
        if waiting.sequence is None:
            adapter = self._loader.load_adapter(request.source, request.adapter) if request.adapter else None
            base = self._loader.load_base(request.source)
            waiting.grammar = waiting.grammar or base.grammar_of(request)
            if not waiting.is_ready:
                self._waiting.put_aside(waiting)
                return True
            grammar = waiting.grammar.result() if waiting.grammar else None
            waiting.sequence = Sequence(request, waiting.is_cancelled, base, adapter, grammar)
        sequence = waiting.sequence
        is_next = not any(other.wanted for other in self._running)  # running sequences get memory first
        if not (is_next and self._has_room(sequence)):
            if self._running:
                return False
            raise ServiceError(self._budget.refusal(sequence))
        self._running.append(sequence)
        return True

    def _has_room(self, sequence: Sequence) -> bool:
        return self._budget.make_room(sequence.base, self._running, sequence.reserved, sequence.scoring_bytes)

    @torch.inference_mode()
    def _pass(self, base: Base) -> None:
        batch = schedule(base, self._running, self._budget)
        if not batch:  # all wait for memory that none of them will give back
            newest = self._running[-1]
            self._tell(newest, newest.end_here())
        for sequence, result in self._passes.compute(base, batch):
            if isinstance(result, Exception):
                self._give_up(sequence, result)
            else:
                self._advance(sequence, result)

    def _advance(self, sequence: Sequence, logits_NV: torch.Tensor) -> None:
        """Choose a sequence's next token, if its prompt is computed."""
        try:
            delta = sequence.advance(logits_NV)
        except Exception as error:
            if failures.is_fatal(error):
                raise
            self._give_up(sequence, error)
        else:
            if delta is not None:
                self._tell(sequence, delta)

    def _tell(self, sequence: Sequence, delta: TextDelta) -> None:
        """Reply with a sequence's new text, and end the sequence if that was its last token."""
        if sequence.request.stream:
            self._replies.append(delta)
        if sequence.is_done:
            self._end(sequence)

    def _end(self, sequence: Sequence) -> None:
        """Answer for a sequence, complete or cancelled, and leave its KV cache to others."""
        self._running.remove(sequence)
        if sequence.base.runner.is_batched:
            sequence.base.prefix_cache.add(sequence.as_prefix())
        self._replies.append(Done(sequence.request.id, sequence.generated()))

    def _give_up(self, sequence: Sequence, error: Exception) -> None:
        self._running.remove(sequence)
        self._refuse(sequence.request, error, "generate")

    def _refuse(self, request: Request, error: Exception, action: str) -> None:
        message = str(error) if isinstance(error, ServiceError) else failures.sentence(error, action)
        if not isinstance(error, ServiceError):
            log.error("%s failed", request.named, exc_info=error)
        self._replies.append(Refused(request.id, message))
