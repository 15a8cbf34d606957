"""A pool grows as far as there is memory, and every page of it comes back."""

import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from msgspec import structs

from runtime.inference import kv_budget, kv_cache, sequence
from runtime.inference.engine import Engine
from runtime.inference.paged.pool import PagePool
from runtime.messages.inference import Done, Generated, Refused, Unload
from runtime.model import device
from tests.completing import answers, base_of, complete, finish, request, together
from tests.recording import Recorder

PAGE = 16


@pytest.fixture(autouse=True)
def _whole_pages(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ARG001  pages on a CPU
    """All free memory may be used, sequences get it by pages, and only an error makes a difference to the tokens."""
    monkeypatch.setattr(kv_budget, "KV_CACHE_SHARE", 1)
    monkeypatch.setattr(kv_cache, "GROWTH", PAGE)
    monkeypatch.setattr(sequence, "AHEAD", PAGE)
    setup = device.pick("float32")
    monkeypatch.setattr(device, "pick", lambda: setup)


@pytest.fixture
def engine_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Engine]:
    """An engine on a device that has memory for so many pages."""

    def make(pages: int) -> Engine:
        def free(_: str) -> int:
            pool = pool_of(engine)
            return pool.bytes_per_page * (pages - pool.num_pages)

        engine = Engine(tmp_path_factory.getbasetemp() / "quantized", free)
        return engine

    return make


def pool_of(engine: Engine) -> PagePool:
    pool = base_of(engine).runner.pool
    assert pool is not None
    return pool


def pages_in_use(engine: Engine) -> set[int]:
    """Those that are not free, without the one that nobody has."""
    pool = pool_of(engine)
    return set(range(1, pool.num_pages)) - set(pool._free)


def remembered(engine: Engine) -> set[int]:
    caches: list[Any] = [prefix.cache for prefix in base_of(engine).prefix_cache.prefixes]
    return {page for cache in caches for page in cache.pages}


def test_32_at_once_that_begin_alike_share_their_beginning_and_those_that_nobody_waits_for_leave_their_pages(
    endless: Path, engine_of: Callable[[int], Engine]
) -> None:
    engine = engine_of(400)
    beginning = list(range(100, 140))
    prompts = [[*beginning, 200 + number] for number in range(32)]
    alone = [complete(engine, endless, prompt=prompt) for prompt in prompts[:3]]
    base_of(engine).prefix_cache.clear()
    assert pages_in_use(engine) == set()
    gone: set[int] = set()

    for number, prompt in enumerate(prompts):
        engine.add(request(number, endless, None, prompt), lambda number=number: number in gone)  # type: ignore[misc]
    found: dict[int, Generated | None] = {}
    while not engine.is_idle:
        engine.step()
        found |= {reply.id: reply.generated for reply in engine.take_replies() if isinstance(reply, Done)}
        if any(one.num_new_tokens == 4 for one in engine._running):
            gone |= set(range(8, 32, 2))

    assert [found[number] for number in range(3)] == alone
    assert {one.completion_tokens for number, one in found.items() if one and number not in gone} == {12}
    assert {one.completion_tokens for number, one in found.items() if one and number in gone} == {3}, "a pass behind"
    assert pages_in_use(engine) == remembered(engine)
    assert len(remembered(engine)) == 2 + 2 * 20 + 12, "two whole pages of all, and what each has written of its own"
    base_of(engine).prefix_cache.clear()
    assert pages_in_use(engine) == set()


def test_a_request_without_pages_waits_and_what_was_not_used_for_longest_is_forgotten_first(
    endless: Path, engine_of: Callable[[int], Engine]
) -> None:
    narrow = engine_of(7)  # 6 for sequences: each of these takes 2
    prompts = [[*range(20 * number, 20 * number + 20)] for number in range(1, 6)]
    alone = [complete(narrow, endless, prompt=prompt) for prompt in prompts]
    base_of(narrow).prefix_cache.clear()
    for prompt in prompts[:3]:
        complete(narrow, endless, prompt=prompt)
    complete(narrow, endless, prompt=prompts[0])  # by now the most recently used one

    found = together(narrow, [request(number, endless, None, prompts[number]) for number in (3, 4)])

    assert found == alone[3:]
    assert [prefix.tokens[0] for prefix in base_of(narrow).prefix_cache.prefixes] == [20, 80, 100]
    assert pool_of(narrow).num_pages == 7
    assert pages_in_use(narrow) == remembered(narrow)


def test_when_no_page_is_left_the_newest_ends_as_by_length(endless: Path, engine_of: Callable[[int], Engine]) -> None:
    older, newer = answers(
        engine_of(5), [request(first, endless, None, [first], max_new_tokens=None) for first in (5, 6)]
    )

    assert isinstance(older, Generated)
    assert isinstance(newer, Generated)
    assert (older.finish_reason, newer.finish_reason) == ("length", "length")
    assert newer.completion_tokens < older.completion_tokens < 5 * PAGE


def test_a_pool_that_cannot_grow_after_all_ends_the_newest_and_refuses_who_comes_next(
    endless: Path, engine_of: Callable[[int], Engine], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = engine_of(400)
    complete(engine, endless)

    def in_pieces(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(PagePool, "grow", in_pieces)
    [cut] = answers(engine, [request(1, endless, None, [5], max_new_tokens=None)])
    [refused] = answers(engine, [request(2, endless, None, list(range(100)))])

    assert isinstance(cut, Generated)
    assert cut.finish_reason == "length"
    assert isinstance(refused, Refused)
    assert refused.message.startswith("The prompt has 100 tokens and up to 12 may follow: their KV cache takes up to")


def test_one_adapters_tokens_are_a_graph_of_its_own_and_a_mixed_pass_is_none(
    biased: Path, recorder: Recorder, engine_of: Callable[[int], Engine]
) -> None:
    engine, base, mine = engine_of(400), biased / "models" / "toy", biased / "adapters" / "mine"
    bare = complete(engine, base)
    recorded = [*recorder.shapes]
    adapted = complete(engine, base, mine)
    own = [*recorder.shapes]

    mixed = together(engine, [request(1, base, None), request(2, base, mine)])

    assert adapted.text != bare.text
    assert mixed == [bare, adapted]
    assert len(own) > len(recorded), "the bare base's are not the adapter's"
    assert recorder.shapes == own
    [files] = base_of(engine).adapters.loaded
    adapter = base_of(engine).adapters.get(files)
    assert adapter is not None
    weights = weakref.ref(next(iter(adapter.values())).a_RI)
    del adapter
    engine.add(Unload(id=9))
    finish(engine)
    assert weights() is None, "its graphs went with it"
    assert complete(engine, base) == bare


def test_memory_that_jobs_may_still_take_is_neither_given_to_requests_nor_left_to_torch(
    endless: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    mb = 2**20
    asked: list[float] = []
    free = {"bytes": 300 * mb}
    engine = Engine(tmp_path_factory.getbasetemp() / "quantized", lambda _: free["bytes"])
    complete(engine, endless)
    engine._device = "cuda:0"
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (free["bytes"], 1000 * mb))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda: 200 * mb)
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", asked.append)

    def leaving(leave_mb: int) -> object:
        asking = request(1, endless, None, [7], max_new_tokens=100_000)
        [found] = answers(engine, [structs.replace(asking, leave_mb=leave_mb)])
        return getattr(found, "message", None)

    refused = leaving(290)
    with_more = leaving(300)
    assert refused is not None
    assert "their KV cache takes up to 51 MB, and 11 MB of memory can be given to it now" in str(refused)
    assert "and 0 MB of memory can be given" in str(with_more)
    assert asked == [pytest.approx(0.21), pytest.approx(0.2)]

    complete(engine, endless)  # no job any more

    assert asked[2:] == [1.0]
