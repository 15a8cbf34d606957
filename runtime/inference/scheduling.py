"""Which tokens of which sequences the next forward pass computes."""

import collections.abc

from runtime.inference.base import Base
from runtime.inference.kv_budget import KVBudget
from runtime.inference.prefix_reuse import start_prompt
from runtime.inference.ragged import Chunk
from runtime.inference.sequence import Sequence

Batch = list[tuple[Sequence, Chunk]]


def schedule(base: Base, running: collections.abc.Sequence[Sequence], budget: KVBudget) -> Batch:
    """Every sequence that generates, with its last token, and chunks of prompts, the oldest first.

    Chunks are added until they have a prefill chunk's tokens together: that may be almost two chunks. A prompt is cut
    into the chunks that it would have alone, so that it is computed as it would be alone. A sequence is left out while
    its KV cache waits for memory.

    Chunks whose logits are all wanted are smaller, and take as much of the room as a whole one: a pass has the logits
    of almost two of them.
    """
    batch: Batch = []
    room = base.prefill_chunk
    for number, sequence in enumerate(running):
        if sequence.is_prefilling:
            tokens = _prompt_chunk(base, sequence, running[:number], room)
            room -= len(tokens) * -(-base.prefill_chunk // _size(base, sequence))
        elif budget.reserve_more(running, sequence):
            tokens = sequence.tokens[sequence.num_computed :]
        else:
            continue
        if tokens:
            batch.append((sequence, Chunk(tokens, sequence.cache, sequence.is_scored and sequence.is_prefilling)))
    return batch


def _size(base: Base, sequence: Sequence) -> int:
    """Tokens of a prompt's chunk."""
    return base.scored_chunk if sequence.is_scored else base.prefill_chunk


def _prompt_chunk(base: Base, sequence: Sequence, ahead: collections.abc.Sequence[Sequence], room: int) -> list[int]:
    """The next tokens of a prompt; none where the pass is full, or others compute its beginning first.

    A model whose sequences are not batched takes a prompt whole: nothing says that it could go on with a part of it.
    """
    if room <= 0:
        return []
    if not base.runner.is_batched:
        return list(sequence.tokens)
    if sequence.num_computed == 0 and not start_prompt(sequence, ahead):
        return []
    return sequence.tokens[sequence.num_computed : sequence.num_computed + _size(base, sequence)]
