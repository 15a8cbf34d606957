"""Computing the beginning that prompts have in common once, for all of them."""

import collections.abc

from runtime.inference.prefix_cache import SHORTEST, Prefix, common_length
from runtime.inference.sequence import Sequence

Ahead = collections.abc.Sequence[Sequence]
"""The running sequences that began before this one."""


def start_prompt(sequence: Sequence, ahead: Ahead) -> bool:
    """Have a prompt of which nothing is computed start with what others have computed of it.

    Returns False if it is to wait: a sequence ahead is about to compute more of it. One that wants the logits of all of
    its tokens computes all of them: those of others are gone.
    """
    if sequence.is_scored:
        return True
    prefix, length = _longest_prefix(sequence, ahead)
    if _will_be_longer(sequence, ahead, length):
        return False
    if prefix is not None and length >= SHORTEST:
        sequence.base.prefix_cache.use(prefix)
        sequence.begin_with(prefix.cache, length)
    return True


def _longest_prefix(sequence: Sequence, ahead: Ahead) -> tuple[Prefix | None, int]:
    """Who has computed most of a prompt's beginning, in the prefix cache or ahead, and how many tokens of it."""
    prompt = sequence.tokens[:-1]  # the last one's logits are wanted
    known = [*sequence.base.prefix_cache.prefixes, *(other.as_prefix() for other in ahead)]
    lengths = [prefix.common(sequence.request.adapter, prompt) for prefix in known]
    return max(zip(known, lengths, strict=True), key=lambda found: found[1], default=(None, 0))


def _will_be_longer(sequence: Sequence, ahead: Ahead, length: int) -> bool:
    """Whether a prompt ahead has more in common with this one than `length` and what is computed of it yet."""
    return any(
        other.is_prefilling
        and other.request.adapter == sequence.request.adapter
        and common_length(sequence.tokens[:-1], other.tokens) - max(length, other.num_computed) >= SHORTEST
        for other in ahead
    )
