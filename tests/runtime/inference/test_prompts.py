"""Prompts: read in chunks beside those that generate, and their common beginnings once."""

from itertools import chain
from pathlib import Path

import pytest

from runtime.inference import base as base_module
from runtime.inference.engine import Engine
from tests.completing import base_of, complete, finish, request, step, together


def test_what_prompts_begin_with_in_common_is_computed_once(biased: Path, passes: list[list[int]]) -> None:
    """By requests that come together, after one another, and while another reads; an adapter has keys of its own."""
    engine, base, mine = Engine(biased / ".cache"), biased / "models" / "toy", biased / "adapters" / "mine"
    instructions = list(range(100, 150))
    prompts = [[*instructions, 7], [*instructions, 8, 9], instructions]
    alone = [complete(Engine(biased / ".cache"), base, prompt=prompt, max_new_tokens=3) for prompt in prompts]
    adapted = complete(Engine(biased / ".cache"), base, mine, prompt=prompts[0], max_new_tokens=3)
    passes.clear()

    beside = together(engine, [request(at, base, None, prompt, max_new_tokens=3) for at, prompt in enumerate(prompts)])
    [other] = together(engine, [request(3, base, mine, prompts[0], max_new_tokens=3)])
    again = complete(engine, base, prompt=[*prompts[0], *range(60, 80)], max_new_tokens=1)

    assert beside == alone
    assert other == adapted
    assert [tokens for tokens in chain(*passes) if tokens > 1] == [51, 2, 51, 20]
    assert again.prompt_tokens == 71


def test_what_ended_sequences_leave_is_bounded(toy: Path, tmp_path: Path, passes: list[list[int]]) -> None:
    engine = Engine(tmp_path / ".cache")
    prompts = [list(range(first, first + 40)) for first in (100, 200, 300)]
    complete(engine, toy, prompt=prompts[0], max_new_tokens=1)
    cache = base_of(engine).prefix_cache
    cache._most_bytes = 2 * cache.prefixes[0].cache.nbytes
    complete(engine, toy, prompt=prompts[1], max_new_tokens=1)
    complete(engine, toy, prompt=prompts[0], max_new_tokens=1)
    complete(engine, toy, prompt=prompts[2], max_new_tokens=1)
    passes.clear()

    for prompt in prompts:
        complete(engine, toy, prompt=prompt, max_new_tokens=1)

    assert list(chain(*passes)) == [1, 40, 40], (
        "the first was used after the second, which had to go; its return costs the third"
    )


def test_a_long_prompt_is_read_in_pieces_beside_those_that_write(
    biased: Path, passes: list[list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(base_module, "CPU_PREFILL_CHUNK", 16)
    engine, base = Engine(biased / ".cache"), biased / "models" / "toy"
    long = list(range(100, 140))
    alone = [complete(engine, base, max_new_tokens=12), complete(engine, base, prompt=long, max_new_tokens=2)]
    engine = Engine(biased / ".cache")
    engine.add(request(0, base, None, max_new_tokens=12))
    found = step(engine)
    passes.clear()

    engine.add(request(1, base, None, long, max_new_tokens=2))
    found |= finish(engine)

    assert passes[:4] == [[1, 16], [1, 16], [1, 8], [1, 1]]
    assert [found[0], found[1]] == alone


def test_prompts_share_a_pass_until_they_fill_a_prefill_chunk(
    biased: Path, passes: list[list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last one that begins before it is full has the chunk that it would have alone."""
    monkeypatch.setattr(base_module, "CPU_PREFILL_CHUNK", 16)
    base = biased / "models" / "toy"
    prompts = [list(range(first, first + length)) for first, length in ((100, 10), (200, 12), (300, 6), (400, 40))]
    alone = [complete(Engine(biased / ".cache"), base, prompt=prompt, max_new_tokens=2) for prompt in prompts]
    passes.clear()

    found = together(
        Engine(biased / ".cache"),
        [request(at, base, None, prompt, max_new_tokens=2) for at, prompt in enumerate(prompts)],
    )

    assert passes == [[10, 12], [1, 1, 6, 16], [1, 16], [8], [1]]
    assert found == alone
