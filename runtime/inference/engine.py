"""The sequences that one base and its adapters complete, side by side.

Continuous batching: between two tokens sequences join and leave. One pass computes the next token of all that write,
and of those that still read their prompts a chunk each: nobody waits for another's long prompt.

What fails is refused alone. A pass that fails is computed again in halves, until the sequence that it fails for is by
itself: the others have the tokens that they would have had.
"""

import gc
import logging
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path

import torch
from msgspec import Struct

from runtime.inference import failures
from runtime.inference.adapters import LoadedAdapter, TokensReordered
from runtime.inference.base import Base
from runtime.inference.prefix_cache import SHORTEST, Prefix, in_common
from runtime.inference.ragged import Chunk
from runtime.inference.sequence import IsCancelled, Sequence
from runtime.messages.inference import (
    AdapterFiles,
    Done,
    Generate,
    Load,
    Reason,
    Refused,
    Reply,
    Request,
    TextDelta,
    Unload,
)
from runtime.model import adapter_files, bases, device, memory
from state.errors import LoadFailed, NoMemory, ServiceError

log = logging.getLogger("inference")

MAX_RUNNING = 32  # sequences in one pass; more wait
KV_CACHE_SHARE = 1 / 2  # of the free memory, for what running sequences may still take: a pass takes some, others too


class Waiting(Struct):
    """A request that has not begun; `sequence` once its prompt has been read, and it only waits for memory."""

    request: Request
    is_cancelled: IsCancelled
    sequence: Sequence | None = None


class Engine:
    """Takes requests in their order, and completes those of one base side by side."""

    def __init__(self, quantized_bases: Path, free_memory: Callable[[str], int] = memory.free) -> None:
        """`free_memory` tells how many bytes a device has left."""
        self._quantized_bases = quantized_bases
        self._free_memory = free_memory
        self._plan = device.pick()
        self._base: Base | None = None
        self._waiting: deque[Waiting] = deque()
        self._running: list[Sequence] = []
        self._replies: list[Reply] = []
        self.pass_began_s: float | None = None
        """By the monotonic clock; None between passes."""

    @property
    def is_idle(self) -> bool:
        return not (self._waiting or self._running)

    def add(self, request: Request, is_cancelled: IsCancelled = lambda: False) -> None:
        """`is_cancelled` is asked before each pass."""
        self._waiting.append(Waiting(request, is_cancelled))

    def take_replies(self) -> list[Reply]:
        """What has been answered since this was last asked. Every request is answered once, by Done or Refused."""
        replies, self._replies = self._replies, []
        return replies

    def step(self) -> None:
        """Let in what can be let in, and compute one pass.

        Raises what leaves the device unable to compute; what is answered by then can still be taken.
        """
        for sequence in [sequence for sequence in self._running if sequence.is_cancelled()]:
            self._end(sequence)
        while self._waiting and not self._must_wait(self._waiting[0].request):
            if not self._let_in(self._waiting[0]):
                break
            self._waiting.popleft()
        if self._base is not None and self._running:
            self._pass(self._base)

    def _must_wait(self, request: Request) -> bool:
        """Behind those that run: another base takes the place of theirs."""
        if isinstance(request, Unload) or self._base is None:
            return False
        is_full = isinstance(request, Generate) and len(self._running) >= MAX_RUNNING
        return is_full or (bool(self._running) and self._base.source != request.source)

    def _let_in(self, waiting: Waiting) -> bool:
        """Begin a request, or answer it. False while its KV cache has to wait for memory."""
        try:
            if waiting.is_cancelled():
                self._replies.append(Done(waiting.request.id))
                return True
            match waiting.request:
                case Load(id=number, source=source, adapter=files):
                    self._load(source, files)
                    self._replies.append(Done(number))
                case Unload(id=number):
                    self._unload()
                    self._replies.append(Done(number))
                case Generate():
                    return self._begin(waiting, waiting.request)
        except Exception as error:
            if failures.is_fatal(error):
                raise
            self._refuse(waiting.request, error, "begin with the request")
        return True

    def _begin(self, waiting: Waiting, request: Generate) -> bool:
        if waiting.sequence is None:
            adapter = self._load(request.source, request.adapter) if request.adapter else None
            base = self._have_base(request.source)
            waiting.sequence = Sequence(request, waiting.is_cancelled, base, adapter)
        is_free = not any(sequence.wanted for sequence in self._running)  # else those that run come first
        if not (is_free and self._has_memory(waiting.sequence.reserved)):
            if self._running:
                return False
            raise ServiceError(self._too_long(waiting.sequence))
        self._running.append(waiting.sequence)
        return True

    def _has_memory(self, tokens: int) -> bool:
        """Whether so many tokens' KV cache can be set aside, beside what the running sequences may still take.

        What the prefix cache holds gives way.
        """
        if self._base is None:
            return False
        promised = sum(sequence.reserved - sequence.num_computed for sequence in self._running)
        needed = self._base.runner.cache_bytes * (promised + tokens)
        return needed <= self._kv_cache_memory() or (self._free() and needed <= self._kv_cache_memory())

    def _kv_cache_memory(self) -> float:
        return KV_CACHE_SHARE * self._free_memory(self._plan.device)

    def _too_long(self, sequence: Sequence) -> str:
        needed = sequence.reserved * (self._base.runner.cache_bytes if self._base else 0)
        return (
            f"The prompt has {sequence.num_prompt_tokens} tokens and up to {sequence.max_new_tokens} may follow: their "
            f"KV cache takes up to {needed / 1e6:,.0f} MB, and {self._kv_cache_memory() / 1e6:,.0f} MB of memory can "
            "be given to it now. Ask for fewer tokens, or try again when there is more memory"
        )

    def _free(self) -> bool:
        """Give back what is only remembered. Whether there was any."""
        if self._base is None or not self._base.prefix_cache.clear():
            return False
        _empty_cache()
        return True

    @torch.inference_mode()
    def _pass(self, base: Base) -> None:
        chunks = self._chunks(base)
        if not chunks:  # all wait for memory that none of them will give back
            newest = self._running[-1]
            self._tell(newest, newest.end_here())
        chunks.sort(key=lambda chunk: id(chunk[0].adapter))  # an adapter's rows lie together
        for together in self._passes(base, chunks):
            self._compute(base, together)

    def _passes(self, base: Base, chunks: list[tuple[Sequence, Chunk]]) -> list[list[tuple[Sequence, Chunk]]]:
        if not base.runner.is_batched:
            return [[chunk] for chunk in chunks]
        if not base.mixes_adapters:
            return [list(group) for _, group in groupby(chunks, key=lambda chunk: id(chunk[0].adapter))]
        return [chunks] if chunks else []

    def _chunks(self, base: Base) -> list[tuple[Sequence, Chunk]]:
        """The sequences of this pass, with the tokens that each has computed: its last one, or a chunk of its prompt.

        Chunks have the length that they would have alone, so that a prompt is read as it would be alone.
        """
        found = []
        room = base.prefill_chunk
        for number, sequence in enumerate(self._running):
            if sequence.is_reading:
                if room <= 0 or self._is_to_begin_later(base, number):
                    continue
                self._begin_with_prefix(base, number)
            if sequence.wanted and not self._reserve(sequence):
                continue
            first = sequence.num_computed
            end = first + base.prefill_chunk if base.runner.is_batched else None
            tokens = sequence.tokens[first:end]
            room -= len(tokens) if sequence.is_reading else 0
            found.append((sequence, Chunk(tokens, sequence.cache)))
        return found

    def _reserve(self, sequence: Sequence) -> bool:
        """Set memory aside for what a sequence goes on to write, if there is any."""
        if not self._has_memory(sequence.wanted):
            return False
        sequence.reserved += sequence.wanted
        return True

    def _is_to_begin_later(self, base: Base, number: int) -> bool:
        """Whether a sequence ahead reads a beginning that this one's prompt has too: it will be there to take then."""
        sequence = self._running[number]
        if sequence.num_computed > 0 or not base.runner.is_batched:
            return False
        have = self._longest_prefix(base, number)[1]
        return any(
            other.is_reading
            and other.request.adapter == sequence.request.adapter
            and in_common(sequence.tokens[:-1], other.tokens) - max(have, other.num_computed) >= SHORTEST
            for other in self._running[:number]
        )

    def _begin_with_prefix(self, base: Base, number: int) -> None:
        """Let a sequence that has read nothing begin with what others have of its prompt."""
        sequence = self._running[number]
        if sequence.num_computed > 0 or not base.runner.is_batched:
            return
        prefix, length = self._longest_prefix(base, number)
        if prefix is not None and length >= SHORTEST:
            base.prefix_cache.use(prefix)
            sequence.begin_with(prefix.cache, length)

    def _longest_prefix(self, base: Base, number: int) -> tuple[Prefix | None, int]:
        """Who has most of the beginning of a prompt, remembered or ahead in the line, and how many tokens of it."""
        sequence = self._running[number]
        prompt = sequence.tokens[:-1]  # the last one's logits are wanted
        known = [*base.prefix_cache.prefixes, *(other.as_prefix() for other in self._running[:number])]
        lengths = [prefix.common(sequence.request.adapter, prompt) for prefix in known]
        return max(zip(known, lengths, strict=True), key=lambda found: found[1], default=(None, 0))

    def _compute(self, base: Base, together: list[tuple[Sequence, Chunk]]) -> None:
        """A pass of these; if it fails, passes of its halves, so that the failure costs the sequence that it is of."""
        try:
            logits_NV = self._logits(base, together)
        except Exception as error:
            if failures.is_fatal(error):
                raise
            if not (isinstance(error, TokensReordered) or failures.is_out_of_memory(error)):
                log.exception("A pass of %d sequences failed", len(together))
            failure = error.with_traceback(None)  # whose frames hold the pass's tensors
        else:
            self._take(together, logits_NV)
            return
        has_freed = failures.is_out_of_memory(failure) and self._free()
        if isinstance(failure, TokensReordered):
            base.mixes_adapters = False
        if len(together) > 1:
            half = len(together) // 2
            log.warning("A pass of %d sequences is computed in halves: %s", len(together), failure)
            self._compute(base, together[:half])
            self._compute(base, together[half:])
        elif has_freed:
            self._compute(base, together)
        else:
            [(sequence, _)] = together
            self._running.remove(sequence)
            self._refuse(sequence.request, failure, "generate")

    def _logits(self, base: Base, together: list[tuple[Sequence, Chunk]]) -> torch.Tensor:
        self.pass_began_s = time.monotonic()
        try:
            base.adapters.begin_pass([(sequence.adapter, len(chunk.tokens)) for sequence, chunk in together])
            return base.runner.logits([chunk for _, chunk in together])
        finally:
            self.pass_began_s = None

    def _take(self, together: list[tuple[Sequence, Chunk]], logits_NV: torch.Tensor) -> None:
        for (sequence, chunk), logits_V in zip(together, logits_NV, strict=True):
            sequence.num_computed += len(chunk.tokens)
            if not sequence.is_reading:
                self._advance(sequence, logits_V)

    def _advance(self, sequence: Sequence, logits_V: torch.Tensor) -> None:
        """Choose a sequence's next token; it leaves when that was its last, or when none can be chosen."""
        try:
            delta = sequence.advance(logits_V)
        except Exception as error:
            if failures.is_fatal(error):
                raise
            self._running.remove(sequence)
            self._refuse(sequence.request, error, "generate")
        else:
            self._tell(sequence, delta)

    def _tell(self, sequence: Sequence, delta: TextDelta) -> None:
        if sequence.request.stream:
            self._replies.append(delta)
        if sequence.is_done:
            self._end(sequence)

    def _end(self, sequence: Sequence) -> None:
        """Take a sequence out, whole or given up, and answer for it; others may begin as it did."""
        self._running.remove(sequence)
        if self._base is not None and self._base.runner.is_batched:
            self._base.prefix_cache.add(sequence.as_prefix())
        self._replies.append(Done(sequence.request.id, sequence.generated()))

    def _refuse(self, request: Request, error: Exception, action: str) -> None:
        message = str(error) if isinstance(error, ServiceError) else failures.sentence(error, action)
        if not isinstance(error, ServiceError):
            log.error("Request %d is refused", request.id, exc_info=error)
        reason: Reason = "request"
        if isinstance(error, LoadFailed):
            reason = "memory" if isinstance(error, NoMemory) else "loading"
        self._replies.append(Refused(request.id, message, reason))

    def _unload(self) -> None:
        if self._base is not None:
            self._base.adapters.clear()
            self._base.prefix_cache.keep_those_of(())

    def _load(self, source: str, files: AdapterFiles) -> LoadedAdapter:
        """An adapter on its base. Raises LoadFailed, and what was there before still answers.

        The adapter is checked before a base is loaded in the place of another.
        """
        loaded = self._base.adapters.get(files) if self._base and self._base.source == source else None
        if loaded is not None:
            return loaded
        checked = adapter_files.check(Path(files.path), adapter_files.skeleton(source))
        base = self._have_base(source)
        with _load_failures("load the adapter"):
            added = base.adapters.add(files, checked)
        base.prefix_cache.keep_those_of(base.adapters.loaded)
        return added

    def _have_base(self, source: str) -> Base:
        """The base, loaded in the place of another. Raises LoadFailed."""
        if self._base is None or self._base.source != source:
            self._drop_base()
            self._check_memory(source)
            began = time.monotonic()
            with _load_failures("load the base model"):
                self._base = Base(source, self._plan, self._quantized_bases)
            log.info("%s loaded on %s in %.1f s", source, self._plan.device, time.monotonic() - began)
        return self._base

    def _drop_base(self) -> None:
        """Give its memory back: two bases may not fit beside each other, nor beside a trainer."""
        self._base = None
        _empty_cache()

    def _check_memory(self, source: str) -> None:
        """Raise NoMemory for a base that an accelerator has no memory for beside what else it does.

        On a CPU the weights are mapped from disk: the system reads them again where it has to drop them.
        """
        if self._plan.device == "cpu":
            return
        needed, free = bases.size(source, self._plan, self._quantized_bases), self._free_memory(self._plan.device)
        if needed is not None and needed > free:
            raise NoMemory(
                f"There is not enough memory to load {Path(source).name}: it takes about {needed / 1e6:,.0f} MB, "
                f"and {self._plan.device} has {free / 1e6:,.0f} MB free"
            )


def _empty_cache() -> None:
    gc.collect()
    if torch.accelerator.is_available():
        torch.accelerator.empty_cache()


@contextmanager
def _load_failures(action: str) -> Iterator[None]:
    """Raise LoadFailed for whatever goes wrong."""
    try:
        yield
    except ServiceError as error:
        raise LoadFailed(str(error)) from error
    except Exception as error:
        if failures.is_fatal(error):
            raise
        raise LoadFailed(failures.sentence(error, action)) from error
