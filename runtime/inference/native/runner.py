"""Passes by the kernels, where they compute what the model itself computes; by `ragged` where an adapter does more."""

import ctypes as c
import logging
from collections.abc import Sequence
from typing import Any

import torch
from transformers import PreTrainedModel

from runtime.inference import ragged
from runtime.inference.adapters import Adapters
from runtime.inference.native import library, structures
from runtime.inference.native.compiling import Unavailable
from runtime.inference.native.description import Description
from runtime.inference.native.kv_cache import WholeKVCache
from runtime.inference.native.low_rank import Tables
from runtime.inference.ragged import Chunk, ModelRunner
from runtime.model.trial import UNSUITABLE, check_close

log = logging.getLogger("inference")


def choose(model: PreTrainedModel, adapters: Adapters, plain: ModelRunner) -> ModelRunner:
    """The kernels where a trial shows that they are right for this model, else the plain way, and the log says why."""
    if model.device.type != "cpu" or not plain.is_batched or plain.pool is not None:
        return plain
    try:
        kernels = Kernels(model, adapters, plain)  # of weights that bitsandbytes packed in the plain way's first pass
        found, caches = ragged.tried(kernels.new_cache, kernels.logits)
        check_close(found, plain.trial_logits.float(), ragged.TRIAL_TOLERANCE)
    except (Unavailable, *UNSUITABLE) as reason:
        log.info("Passes are computed by torch: %s", str(reason))  # a record that is kept would keep its frames
        return plain
    return ModelRunner(kernels.new_cache, kernels.logits, caches[0].bytes_per_token, found, is_batched=True)


class Kernels:
    """One model's passes."""

    def __init__(self, model: PreTrainedModel, adapters: Adapters, plain: ModelRunner) -> None:
        """Raises Unavailable, and what Description raises."""
        self._adapters = adapters
        self._plain = plain
        instructions = library.best()
        self._described = Description(model, instructions)
        self._embedding: Any = model.get_input_embeddings()
        self._softcap: float | None = getattr(model.config, "final_logit_softcapping", None)
        self._library = library.load(instructions)
        self._team = library.team(instructions, torch.get_num_threads())
        self._tables = Tables(self._described.places)

    def new_cache(self) -> WholeKVCache:
        described = self._described
        return WholeKVCache(described.model.layers, described.key_heads, described.width, described.dtype)

    def logits(self, chunks: Sequence[Chunk]) -> torch.Tensor:
        """As a ModelRunner's, in float32."""
        spans: list[structures.Span] = []
        for span in self._adapters.spans:
            table = self._tables.of(span.adapter)
            if table is None:
                return self._plain.logits(chunks)
            rows, kept = span.tokens, span.logits
            spans.append(structures.Span(rows.start, rows.stop, kept.start, kept.stop, table.loras))
        model = self._described.model
        tokens = [token for chunk in chunks for token in chunk.tokens]
        residual_TE = self._embedding(torch.tensor([tokens]))[0].float()
        rotations = self._described.rotations(residual_TE[None], torch.tensor([ragged.positions(chunks)]))
        kept_N = torch.tensor(ragged.kept(chunks), dtype=torch.int32)
        logits_NV = torch.empty(len(kept_N), model.head.outputs)
        computed = structures.Pass(
            rows=len(tokens),
            chunks=len(chunks),
            spans=len(spans),
            kept=len(kept_N),
            residual=residual_TE.data_ptr(),
            cos=_addresses([cos_TD for cos_TD, _ in rotations]),
            sin=_addresses([sin_TD for _, sin_TD in rotations]),
            chunk=_told(chunks),
            span=(structures.Span * len(spans))(*spans),
            kept_rows=kept_N.data_ptr(),
            logits=logits_NV.data_ptr(),
        )
        scratch = torch.empty(self._library.lathe_scratch(self._team, model, computed), dtype=torch.uint8)
        computed.scratch = scratch.data_ptr()
        if self._library.lathe_pass(self._team, model, computed):
            raise MemoryError
        for chunk in chunks:
            chunk.cache.length += len(chunk.tokens)
        return logits_NV if self._softcap is None else torch.tanh(logits_NV / self._softcap) * self._softcap


def _addresses(tensors: list[torch.Tensor]) -> Any:  # noqa: ANN401  an array of two; a model may need one alone
    return (c.c_void_p * 2)(*[tensor.data_ptr() for tensor in tensors])


def _told(chunks: Sequence[Chunk]) -> Any:  # noqa: ANN401  an array of them
    """With room in their caches."""
    told = (structures.Chunk * len(chunks))()
    row = 0
    for at, chunk in enumerate(chunks):
        cache: WholeKVCache = chunk.cache
        cache.make_room(cache.length + len(chunk.tokens))
        told[at] = structures.Chunk(row, len(chunk.tokens), cache.length, cache.capacity, cache.buffer.data_ptr())
        row += len(chunk.tokens)
    return told
