"""Logits with keys and values in pages are those of plain KV caches, whatever is in a pass."""

import logging
from collections.abc import Callable, Sequence
from functools import cache
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AutoModelForCausalLM, PreTrainedModel

from runtime.inference import ragged
from runtime.inference.adapters import Adapters
from runtime.inference.paged import attention, decoding_graphs, runner
from runtime.inference.paged.pool import PagedCache, PagePool
from runtime.inference.ragged import Chunk, ModelRunner
from runtime.model import private, varlen
from tests import toys
from tests.recording import Recorder

pytestmark = pytest.mark.usefixtures("recorder")

VOCABULARY = 128
Schedule = list[list[tuple[int, int]]]
"""Of each pass, the number of a sequence and how many tokens it has in it."""
JOINING_AND_LEAVING: Schedule = [
    [(0, 20)],
    [(0, 1), (1, 7)],
    [(0, 1), (1, 1), (2, 40), (3, 1)],
    *([(0, 1), (1, 1), (2, 1), (3, 1)] for _ in range(4)),
    [(1, 1), (3, 12), (4, 33)],
    *([(3, 1), (4, 1)] for _ in range(4)),
]


def toy(architecture: str) -> PreTrainedModel:
    """With its own attention, in float32, so that only an error makes a difference."""
    model, own = _toy(architecture)
    model.set_attn_implementation(own)
    return model


@cache
def _toy(architecture: str) -> tuple[PreTrainedModel, str]:
    torch.manual_seed(0)
    config = toys.ARCHITECTURES[architecture]()
    config.vocab_size = VOCABULARY
    model: PreTrainedModel = AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    return model, private.attention_of(model.config)


def chosen(model: PreTrainedModel) -> ModelRunner:
    found = runner.choose(model, Adapters(model))
    assert found.pool is not None, "it is computed with pages"
    return found


def text_of(number: int) -> list[int]:
    return [(number * 31 + at * at) % VOCABULARY for at in range(100)]


def played(made: ModelRunner, schedule: Schedule) -> list[torch.Tensor]:
    """The logits of each pass."""
    numbers = {number for each in schedule for number, _ in each}
    texts = {number: text_of(number) for number in numbers}
    caches = {number: made.new_cache() for number in numbers}
    if made.pool is not None:
        made.pool.grow(2 * len(numbers) + 8)
    found = []
    for each in schedule:
        chunks = [
            Chunk(texts[number][(at := caches[number].length) : at + size], caches[number], wants_all_logits=size == 7)
            for number, size in each
        ]
        with torch.inference_mode():
            found.append(made.logits(chunks).clone())
    return found


@cache
def joining_plainly(architecture: str) -> list[torch.Tensor]:
    return played(ragged.choose(toy(architecture)), JOINING_AND_LEAVING)


def assert_same(found: Sequence[torch.Tensor], expected: Sequence[torch.Tensor]) -> None:
    for one, other in zip(found, expected[: len(found)], strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("architecture", ["llama", "gemma2", "gemma3", "gpt2"])
def test_prompts_and_tokens_in_one_pass_have_the_logits_of_plain_caches(recorder: Recorder, architecture: str) -> None:
    expected = joining_plainly(architecture)

    found = played(chosen(toy(architecture)), JOINING_AND_LEAVING)

    assert_same(found, expected)
    assert recorder.replays >= 5, "passes of single tokens are replayed from the third on"


def test_32_sequences_are_one_graph_and_each_number_of_rows_is_filled_up(recorder: Recorder) -> None:
    everyone = [(number, 1) for number in range(32)]
    schedule = [
        [(number, 5 + number) for number in range(32)],
        *[everyone] * 3,
        *[everyone[:27]] * 2,
        *[everyone[:3]] * 3,
    ]

    expected = played(ragged.choose(toy("llama")), schedule)

    found = played(chosen(toy("llama")), schedule)

    assert_same(found, expected)
    assert [len(logits) for logits in found[1:]] == [32] * 3 + [27] * 2 + [3] * 3
    assert [rows for rows, _ in recorder.shapes] == [2, 32, 4], "the trial's, then theirs"


def test_a_pool_that_grows_is_recorded_again_and_keeps_what_it_has(recorder: Recorder) -> None:
    expected = played(ragged.choose(toy("llama")), [[(0, 1)]] * 40)
    made = chosen(toy("llama"))
    pool = made.pool
    assert pool is not None
    cache = made.new_cache()
    with torch.inference_mode():
        for at in range(40):
            if at in {16, 32}:
                pool.grow(1)
            assert_same([made.logits([Chunk([text_of(0)[at]], cache)])], expected[at:])

    assert [rows for rows, _ in recorder.shapes] == [2, 1, 1, 1]


def test_a_sequence_without_numbers_leaves_nothing_to_the_next_ones() -> None:
    """What it computed stays in its pages, which others get."""
    expected = joining_plainly("llama")
    made = chosen(toy("llama"))
    assert made.pool is not None
    made.pool._layers = {
        layer: (torch.full_like(keys, torch.nan), torch.full_like(values, torch.nan))
        for layer, (keys, values) in made.pool._layers.items()
    }

    assert_same(played(made, JOINING_AND_LEAVING[:7]), expected)


def kernel(
    query_THD: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    starts_N1: torch.Tensor,
    key_starts_N1: torch.Tensor,
    max_q: int,
    max_k: int,
    *,
    scale: float | None,
    window_size: tuple[int, int],
    enable_gqa: bool,
    seqused_k: torch.Tensor,
    block_table: torch.Tensor,
    num_splits: int,
) -> torch.Tensor:
    """Torch 2.13's flash kernel with pages, as its documentation and its checks (flash_api.cpp) have it."""
    small = (starts_N1, key_starts_N1, seqused_k, block_table)
    assert all(part.dtype == torch.int32 for part in small)
    assert all(part.is_contiguous() for part in small[:3])
    assert block_table.stride(-1) == query_THD.stride(-1) == 1
    assert keys.shape[1] % 256 == 0
    assert num_splits == 1
    assert enable_gqa
    assert int(seqused_k.max()) <= max_k
    assert key_starts_N1.tolist() == [0, *seqused_k.cumsum(0).tolist()]
    left, right = window_size
    found = []
    for row, (begin, end) in enumerate(pairwise(starts_N1.tolist())):
        assert end - begin <= max_q
        length = int(seqused_k[row])
        own_keys, own_values = (
            part[block_table[row].long()].flatten(0, 1)[:length].transpose(0, 1) for part in (keys, values)
        )
        query_HTD = query_THD[begin:end].transpose(0, 1)
        at_T1 = torch.arange(length - query_HTD.shape[1], length)[:, None]
        away_TS = at_T1 - torch.arange(length)
        seen_TS = (away_TS <= (left if left >= 0 else length)) & (away_TS >= (-right if right >= 0 else -length))
        found.append(
            scaled_dot_product_attention(
                query_HTD, own_keys, own_values, attn_mask=seen_TS, scale=scale, enable_gqa=True
            ).transpose(0, 1)
        )
    return torch.cat(found)


@pytest.mark.parametrize("architecture", ["llama", "gemma3"])
def test_the_flash_kernel_is_called_as_it_wants_to_be(monkeypatch: pytest.MonkeyPatch, architecture: str) -> None:
    called: list[tuple[int, int]] = []

    def counted(*arguments: Any, **options: Any) -> torch.Tensor:
        called.append(options["window_size"])
        return kernel(*arguments, **options)

    monkeypatch.setattr("runtime.inference.paged.pool.PAGE", 256)
    monkeypatch.setattr(attention, "may_be_one_call", lambda *_: True)
    monkeypatch.setattr(attention, "varlen_attn", counted)
    monkeypatch.setattr(attention, "fewer_key_heads", lambda _: {"enable_gqa": True})
    monkeypatch.delitem(decoding_graphs.RECORDERS, "cpu")  # the stand-in asks the device

    schedule = JOINING_AND_LEAVING[:6]
    expected = joining_plainly(architecture)

    found = played(chosen(toy(architecture)), schedule)

    assert_same(found, expected)
    assert set(called) == {"llama": {(-1, 0), (-1, -1)}, "gemma3": {(31, 0)}}[architecture]


def test_where_the_kernel_takes_no_pages_they_are_gathered_and_the_log_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuses(*_: object, **__: object) -> torch.Tensor:
        raise RuntimeError("block_table needs another flash attention")

    monkeypatch.setattr(attention, "may_be_one_call", lambda *_: True)
    monkeypatch.setattr(attention, "varlen_attn", refuses)
    caplog.set_level(logging.INFO)
    expected = joining_plainly("llama")

    found = played(chosen(toy("llama")), JOINING_AND_LEAVING[:5])

    assert_same(found, expected)
    assert "for flash: block_table needs another flash attention" in caplog.text


def test_a_model_that_pages_are_wrong_for_keeps_its_plain_caches(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(PagePool, "write", lambda *_: (torch.zeros(4, 16, 2, 16), torch.zeros(4, 16, 2, 16)))
    caplog.set_level(logging.INFO)
    expected = joining_plainly("llama")

    model = toy("llama")
    made = runner.choose(model, Adapters(model))

    assert made.pool is None
    assert "Keys and values are not in pages, gathered: tried, it differs from the model's own way" in caplog.text
    assert_same(played(made, JOINING_AND_LEAVING[:5]), expected)


def _refused(_: Callable[[], torch.Tensor]) -> Callable[[], torch.Tensor]:
    raise RuntimeError("operation not permitted when stream is capturing")


def _stale(compute: Callable[[], torch.Tensor]) -> Callable[[], torch.Tensor]:
    found = torch.zeros_like(compute())
    return lambda: found


@pytest.mark.parametrize(
    ("record", "reason"), [(_refused, "operation not permitted"), (_stale, "it differs from the model's own way")]
)
def test_what_cannot_be_recorded_is_computed_plainly_and_the_log_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, record: Any, reason: str
) -> None:
    monkeypatch.setitem(decoding_graphs.RECORDERS, "cpu", record)
    caplog.set_level(logging.INFO)
    expected = joining_plainly("llama")

    found = played(chosen(toy("llama")), JOINING_AND_LEAVING[:7])

    assert_same(found, expected)
    assert caplog.text.count("Decoding passes are not recorded as graphs") == 1
    assert reason in caplog.text


def test_torch_211s_kernel_takes_no_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    def of_211(query: object, key: object, value: object, cu_seq_q: object, *, window_size: object) -> None: ...

    monkeypatch.setattr(varlen, "varlen_attn", of_211)
    varlen.takes_pages.cache_clear()

    assert not varlen.takes_pages()

    varlen.takes_pages.cache_clear()


def test_a_prefix_has_the_same_pages_and_a_copy_of_the_one_that_is_written_on() -> None:
    text = list(range(60))
    plain = ragged.choose(toy("llama"))
    with torch.inference_mode():
        expected = plain.logits([Chunk(text, plain.new_cache())])
    made = chosen(toy("llama"))
    pool = made.pool
    assert pool is not None
    pool.grow(8)
    free = pool.free_pages
    with torch.inference_mode():
        first = made.new_cache()
        made.logits([Chunk(text[:50], first)])
        second: PagedCache = first.prefix(40)

        assert second.pages[:2] == first.pages[:2]
        assert second.pages[2] != first.pages[2]
        assert pool.free_pages == free - 5
        after_it = made.logits([Chunk(text[40:], second)])
        after_the_first = made.logits([Chunk(text[50:], first)])

    assert_same([after_it], [after_the_first])
    assert_same([after_it], [expected])
    shared = first.pages[0]
    del first
    assert pool.free_pages == free - 4
    assert shared not in pool._free, "the second still reads it"
    del second
    assert pool.free_pages == free


def test_without_a_free_page_it_is_out_of_memory_and_nothing_is_lost() -> None:
    pool = PagePool()
    cache = PagedCache(pool)

    with pytest.raises(torch.OutOfMemoryError, match="All 3 pages of keys and values are in use"):
        cache.reserve(16 * 3)

    assert len(cache.pages) == 2
    del cache
    assert pool.free_pages == 2
