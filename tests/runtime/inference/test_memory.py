"""Memory for KV caches is set aside before it is taken, and a base is loaded only into memory that is free."""

from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from runtime.inference import kv_budget, kv_cache, sequence
from runtime.inference.echo import PIECE_BYTES
from runtime.inference.engine import Engine
from runtime.messages.inference import Generated, Refused
from runtime.model import device
from tests.completing import answers, base_of, complete, finish, request, step


class Device:
    """Memory for the KV caches of so many tokens, of which computed ones take their part."""

    def __init__(self, tokens: int, quantized_bases: Path) -> None:
        self.tokens = tokens
        self.engine = Engine(quantized_bases, self._free)

    def _free(self, _: str) -> int:
        base = base_of(self.engine)
        running = sum(sequence.num_computed for sequence in self.engine._running)
        remembered = sum(prefix.cache.length for prefix in base.prefix_cache.prefixes)
        return base.runner.cache_bytes_per_token * (self.tokens - running - remembered)


@pytest.fixture(autouse=True)
def _whole_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    """All free memory may be used, and buffers grow by 16 tokens: figures that can be followed."""
    monkeypatch.setattr(kv_budget, "KV_CACHE_SHARE", 1)
    monkeypatch.setattr(kv_cache, "GROWTH", 16)
    monkeypatch.setattr(sequence, "AHEAD", 16)


@pytest.fixture
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.getbasetemp() / "quantized"


def test_a_request_that_does_not_fit_even_alone_is_refused_with_the_numbers(endless: Path, cache: Path) -> None:
    engine = Device(50_000, cache).engine
    alone = complete(engine, endless)

    engine.add(request(1, endless, None, [5, 6, 7], max_new_tokens=100_000))
    engine.add(request(2, endless, None))
    engine.step()
    [refused] = engine.take_replies()

    assert isinstance(refused, Refused)
    assert refused.message.startswith(
        "The prompt has 3 tokens and up to 100000 may follow: their KV cache takes up to 51 MB, and 26 MB of memory can"
    )
    assert finish(engine) == {2: alone}


def test_a_request_that_has_no_memory_yet_waits_for_others_to_end(endless: Path, cache: Path) -> None:
    prompts = [[5], [6], [7]]
    roomy = Device(10_000, cache).engine
    alone = [complete(roomy, endless, prompt=prompt) for prompt in prompts]
    engine = Device(40, cache).engine  # 1 + 12 tokens are 16: two of these fit

    for number, prompt in enumerate(prompts):
        engine.add(request(number, endless, None, prompt))
    found: dict[int, Generated] = {}
    together = []
    while not engine.is_idle:
        found |= step(engine)
        together.append(len(engine._running))

    assert [found[number] for number in range(3)] == alone
    assert max(together) == 2
    assert together[-2] == 1, "the third began when the others had ended"


def test_the_prefix_cache_gives_way_to_a_request_but_only_where_it_must(endless: Path, cache: Path) -> None:
    wide, narrow = Device(10_000, cache), Device(64, cache)
    alone = complete(wide.engine, endless, prompt=[5])
    complete(narrow.engine, endless, prompt=list(range(100, 140)), max_new_tokens=1)
    prefixes = base_of(narrow.engine).prefix_cache

    fits_beside = complete(narrow.engine, endless, prompt=[5])
    kept = len(prefixes.prefixes)
    large = complete(narrow.engine, endless, prompt=[5], max_new_tokens=40)

    assert fits_beside == alone
    assert kept == 1
    assert large == complete(wide.engine, endless, prompt=[5], max_new_tokens=40)
    assert [prefix.tokens[:1] for prefix in prefixes.prefixes] == [[5]], "what was remembered before is gone"


def test_to_ask_whether_tokens_fit_changes_nothing(endless: Path, cache: Path) -> None:
    engine = Device(64, cache).engine
    complete(engine, endless, prompt=list(range(100, 140)), max_new_tokens=1)
    base = base_of(engine)

    assert not engine._budget.fits(base, [], 64)
    assert len(base.prefix_cache.prefixes) == 1
    assert engine._budget.make_room(base, [], 64)
    assert base.prefix_cache.prefixes == []


def test_a_completion_without_a_bound_waits_for_memory_that_others_give_back(
    endless: Path, cache: Path, passes: list[list[int]]
) -> None:
    roomy = Device(10_000, cache).engine
    bounded = complete(roomy, endless, prompt=[6], max_new_tokens=60)
    unbounded = complete(roomy, endless, prompt=[5], max_new_tokens=150)
    engine = Device(96, cache).engine  # the bounded one takes 64 of it
    passes.clear()

    found = answers(
        engine,
        [request(1, endless, None, [5], max_new_tokens=None), request(2, endless, None, [6], max_new_tokens=60)],
    )

    assert found[1] == bounded
    assert isinstance(found[0], Generated)
    assert unbounded.text.startswith(found[0].text)
    assert found[0].completion_tokens > 64
    assert passes.count([1, 1]) < 40, "it waited while the bounded one computed the rest of its 60 tokens"


def test_when_none_can_go_on_the_newest_ends_as_by_length(endless: Path, cache: Path) -> None:
    roomy = Device(10_000, cache).engine
    alone = [complete(roomy, endless, prompt=[first], max_new_tokens=150) for first in (5, 6)]
    engine = Device(100, cache).engine

    found = answers(engine, [request(first, endless, None, [first], max_new_tokens=None) for first in (5, 6)])

    older, newer = found
    assert isinstance(older, Generated)
    assert isinstance(newer, Generated)
    assert (older.finish_reason, newer.finish_reason) == ("length", "length")
    assert newer.completion_tokens < older.completion_tokens < 100
    assert all(whole.text.startswith(cut.text) for whole, cut in zip(alone, (older, newer), strict=True))


def test_logits_of_a_whole_prompt_are_foreseen_for_one_prompt_a_pass(endless: Path, cache: Path) -> None:
    """4 MB in bf16 for those of two chunks, and two float32 pieces; a KV cache of 80 tokens takes 41 kB of it."""
    scored: dict[str, Any] = {"echo": True, "top_logprobs": 1, "max_new_tokens": 1}
    roomy = Device(100_000, cache).engine
    alone = complete(roomy, endless, prompt=list(range(64)), **scored)
    foreseen = base_of(roomy).runner.logits_bytes * 2 * 512 + 2 * PIECE_BYTES
    tokens = foreseen // base_of(roomy).runner.cache_bytes_per_token
    narrow, enough = Device(tokens, cache).engine, Device(tokens + 2 * 80, cache).engine
    requests = [request(number, endless, None, list(range(64)), **scored) for number in (1, 2)]

    [refused, plain] = answers(narrow, [requests[0], request(2, endless, None)])
    found = answers(enough, requests)

    assert isinstance(refused, Refused)
    mb = {"bfloat16": 38, "float32": 42}[device.pick().dtype]
    assert f"0 MB and the logits of the prompt's {mb} MB, and {mb} MB of memory can be given to both" in refused.message
    assert isinstance(plain, Generated)
    assert found == [alone, alone]


def test_a_base_that_an_accelerator_has_no_memory_for_is_refused_with_the_numbers(
    endless: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = structs.replace(device.pick(), device="cuda:0")
    monkeypatch.setattr(device, "pick", lambda: plan)
    engine = Engine(tmp_path / ".cache", free_memory=lambda _: 1000)

    [refused] = answers(engine, [request(1, endless, None)])

    assert isinstance(refused, Refused)
    assert refused.message == (
        "There is not enough memory to load endless: it takes about 1 MB, and cuda:0 has 0 MB free"
    )
