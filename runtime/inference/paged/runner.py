"""From chunks to logits with keys and values in pages, and whether a model can be computed like this."""

import logging
from collections.abc import Callable, Sequence
from functools import partial
from itertools import accumulate
from typing import Any

import torch
from transformers import PreTrainedModel

from runtime.inference import failures, ragged
from runtime.inference.adapters import Adapters
from runtime.inference.paged.attention import ATTENTION, PagedPass
from runtime.inference.paged.decoding_graphs import DecodingGraphs, filled
from runtime.inference.paged.pool import SCRATCH, PagedCache, PagePool
from runtime.inference.ragged import Chunk, ModelRunner
from runtime.model import private
from runtime.model.trial import UNSUITABLE, check_close
from runtime.model.varlen import takes_pages

DEVICES = ("cuda",)
"""The kinds whose keys and values are in pages."""
TOLERANCE = 0.05  # of the logits' norm; bf16 keeps 8 bits, and kernels differ with the number of rows
COLUMNS = 4  # of a row before its pages: token, position, slot, length

log = logging.getLogger("inference")


def choose(model: PreTrainedModel, adapters: Adapters) -> ModelRunner:
    """With pages on a GPU, where a trial shows that it is right for this model; else without. The log says why not."""
    plain = ragged.choose(model)
    if model.device.type not in DEVICES or not plain.is_batched:
        return plain
    own = private.attention_of(model.config)
    expected = _try(plain.new_cache, plain.logits)
    for by_flash in (True, False) if takes_pages() else (False,):
        model.set_attn_implementation(ATTENTION)
        pool = PagePool()
        new_cache, logits = partial(PagedCache, pool), PagedRunner(model, adapters, pool, by_flash=by_flash).logits
        try:
            check_close(_try(new_cache, logits).float(), expected.float(), TOLERANCE)
        except (*UNSUITABLE, RuntimeError) as reason:
            if failures.is_fatal(reason):
                raise
            log.info("Keys and values are not in pages, %s: %s", "for flash" if by_flash else "gathered", str(reason))
        else:
            bytes_per_token = pool.bytes_per_page // pool.page
            return ModelRunner(new_cache, logits, bytes_per_token, plain.trial_logits, is_batched=True, pool=pool)
    model.set_attn_implementation(own)
    return plain


@torch.inference_mode()
def _try(new_cache: Callable[[], Any], logits: Callable[[Sequence[Chunk]], torch.Tensor]) -> torch.Tensor:
    """The logits of two sequences after their last tokens; on the way there is a pass of each kind."""
    (*some, last), (*others, end) = ragged.TRIAL
    one, other = new_cache(), new_cache()
    logits([Chunk(some[:2], one)])
    logits([Chunk(some[2:], one), Chunk(others[:1], other)])
    logits([Chunk([last], one), Chunk(others[1:], other)])
    return logits([Chunk([last], one), Chunk([end], other)])


class PagedRunner:
    """Computes chunks. Passes of a single token a sequence are graphs where one adapter, or none, has all of them."""

    def __init__(self, model: PreTrainedModel, adapters: Adapters, pool: PagePool, *, by_flash: bool) -> None:
        self._model = model
        self._adapters = adapters
        self._pool = pool
        self._by_flash = by_flash
        self._graphs = DecodingGraphs(self._decode, model.device)

    def logits(self, chunks: Sequence[Chunk]) -> torch.Tensor:
        """[N, V] of all chunks behind one another. A pass that fails can be computed again."""
        for chunk in chunks:
            chunk.cache.reserve(chunk.cache.length + len(chunk.tokens))
        is_decoding = all(len(chunk.tokens) == 1 for chunk in chunks)
        logits_NV = self._decoded(chunks) if is_decoding else self._computed(chunks)
        for chunk in chunks:
            chunk.cache.length += len(chunk.tokens)
        return logits_NV

    def _decoded(self, chunks: Sequence[Chunk]) -> torch.Tensor:
        may_be_graph = self._graphs.are_used and not self._adapters.is_mixed
        rows = filled(len(chunks)) if may_be_graph else len(chunks)
        inputs = _inputs(chunks, rows, self._pool.page)
        if not may_be_graph:
            return self._decode(inputs.to(self._model.device))
        self._adapters.fill(rows)
        found_NV = self._graphs.logits(inputs, self._adapters.only, self._pool.generation)
        return found_NV[: len(chunks)]

    def _decode(self, inputs_NC: torch.Tensor) -> torch.Tensor:
        """Logits [N, V] of a token of each of N sequences. Of `inputs` only its device and its shape are asked."""
        tokens_N, positions_N, slots_N = (inputs_NC[:, column].long() for column in range(3))
        paged = PagedPass(
            pool=self._pool,
            slots_T=slots_N,
            table_NW=inputs_NC[:, COLUMNS:],
            lengths_N=inputs_NC[:, 3].contiguous(),
            starts_N1=torch.arange(len(inputs_NC) + 1, dtype=torch.int32, device=inputs_NC.device),
            sizes=None,
            by_flash=self._by_flash,
        )
        return self._forward(tokens_N, positions_N, paged, logits_to_keep=0)

    def _computed(self, chunks: Sequence[Chunk]) -> torch.Tensor:
        tokens = [token for chunk in chunks for token in chunk.tokens]
        spans = [range(chunk.cache.length, chunk.cache.length + len(chunk.tokens)) for chunk in chunks]
        slots = [chunk.cache.slot(at) for chunk, span in zip(chunks, spans, strict=True) for at in span]
        kept = ragged.kept(chunks)
        longs = self._on_device([*tokens, *(at for span in spans for at in span), *slots, *kept], torch.long)
        tokens_T, positions_T, slots_T, kept_N = longs.split([len(tokens)] * 3 + [len(kept)])
        lengths = [span.stop for span in spans]
        starts = [0, *accumulate(len(span) for span in spans)]
        paged = PagedPass(
            pool=self._pool,
            slots_T=slots_T,
            table_NW=self._on_device(_table([chunk.cache for chunk in chunks]), torch.int32),
            lengths_N=self._on_device(lengths, torch.int32),
            starts_N1=self._on_device(starts, torch.int32),
            sizes=tuple((len(span), span.stop) for span in spans),
            by_flash=self._by_flash,
        )
        return self._forward(tokens_T, positions_T, paged, logits_to_keep=kept_N)

    def _forward(
        self,
        tokens_T: torch.Tensor,
        positions_T: torch.Tensor,
        paged: PagedPass,
        logits_to_keep: int | torch.Tensor,
    ) -> torch.Tensor:
        found = self._model(
            input_ids=tokens_T[None],
            position_ids=positions_T[None],
            use_cache=False,
            logits_to_keep=logits_to_keep,
            paged=paged,
        )
        logits_NV: torch.Tensor = found.logits[0]
        return logits_NV

    def _on_device(self, numbers: list[Any], dtype: torch.dtype) -> torch.Tensor:
        return torch.tensor(numbers, dtype=dtype, device=self._model.device)


def _inputs(chunks: Sequence[Chunk], rows: int, page: int) -> torch.Tensor:
    """A row for each chunk, on the CPU; rows that fill up write into the scratch page and see themselves.

    They are as wide as the next power of two of pages, so that there are few widths.
    """
    width = 1 << (max(len(chunk.cache.pages) for chunk in chunks) - 1).bit_length()
    inputs = [
        [chunk.tokens[0], chunk.cache.length, chunk.cache.slot(chunk.cache.length), chunk.cache.length + 1, *pages]
        for chunk, pages in zip(chunks, _table([chunk.cache for chunk in chunks], width), strict=True)
    ]
    fillers = [[0, 0, SCRATCH * page + row % page, 1, *[SCRATCH] * width] for row in range(len(chunks), rows)]
    return torch.tensor([*inputs, *fillers], dtype=torch.int32)


def _table(caches: Sequence[PagedCache], width: int = 0) -> list[list[int]]:
    width = max(width, *(len(cache.pages) for cache in caches))
    return [cache.pages + [SCRATCH] * (width - len(cache.pages)) for cache in caches]
