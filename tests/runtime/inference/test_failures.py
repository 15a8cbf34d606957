"""What fails is refused alone: the others have the tokens that they would have had."""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from msgspec import structs
from safetensors.torch import load_file, save_file
from torch import nn

from runtime.inference.engine import Engine
from runtime.inference.ragged import Chunk
from runtime.messages.inference import AdapterFiles, Done, Load, Message, Refused
from runtime.model import adapter_files
from state.adapters import ChatSettings
from tests import toys
from tests.completing import answers, base_of, complete, request

MARKED = 77
"""The token that the passes of a failing prompt are known by."""

Experts = Callable[[nn.Module, torch.Tensor], torch.Tensor]
"""How a mixture's experts compute a row with a layer."""

Logits = Callable[[Sequence[Chunk]], torch.Tensor]


@pytest.fixture
def base(biased: Path) -> Path:
    return biased / "models" / "toy"


@pytest.fixture
def engine(biased: Path, base: Path) -> Engine:
    """With its base loaded, and nothing in its prefix cache."""
    engine = Engine(biased / ".cache")
    complete(engine, base, max_new_tokens=1)
    base_of(engine).empty_prefix_cache()
    return engine


def _replace_logits(engine: Engine, change: Callable[[Logits, Sequence[Chunk]], torch.Tensor]) -> None:
    base = base_of(engine)
    own = base.runner.logits
    base.runner = structs.replace(base.runner, logits=lambda chunks: change(own, chunks))


def _is_marked(chunk: Chunk) -> bool:
    return MARKED in chunk.tokens


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), "not enough device memory to generate"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "not enough device memory to generate"),
        (MemoryError(), "not enough device memory to generate"),
        (RuntimeError("The size of tensor a must match"), "Failed to generate: RuntimeError: The size of tensor a"),
        (KeyError("layer"), "Failed to generate: KeyError: 'layer'"),
    ],
)
def test_a_pass_that_fails_costs_only_the_sequences_that_it_fails_for(
    engine: Engine, base: Path, passes: list[list[int]], error: Exception, message: str
) -> None:
    """Also where one has its last token in that very pass."""
    prompts = [[5], [6, 7, 8], [MARKED, 9], [10, 11], [12, MARKED], [13, 14, 15]]
    requests = [request(at, base, None, prompt, max_new_tokens=at + 1) for at, prompt in enumerate(prompts)]
    alone = [complete(engine, base, prompt=prompt, max_new_tokens=at + 1) for at, prompt in enumerate(prompts)]
    passes.clear()

    def fail(own: Logits, chunks: Sequence[Chunk]) -> torch.Tensor:
        if any(map(_is_marked, chunks)):
            raise error
        return own(chunks)

    _replace_logits(engine, fail)
    found = answers(engine, requests)

    for at, prompt in enumerate(prompts):
        answer = found[at]
        if MARKED in prompt:
            assert isinstance(answer, Refused)
            assert message in answer.message
        else:
            assert answer == alone[at]
    assert passes[:3] == [[1, 3, 2, 2, 2, 3], [1, 3, 2], [1]], "halves, and their halves"


def test_out_of_memory_is_tried_again_without_what_the_prefix_cache_holds(engine: Engine, base: Path) -> None:
    alone = complete(engine, base, prompt=[MARKED, 9])
    complete(engine, base, prompt=list(range(100, 140)), max_new_tokens=1)
    cache = base_of(engine).prefix_cache
    assert cache.prefixes

    def fail_beside_prefixes(own: Logits, chunks: Sequence[Chunk]) -> torch.Tensor:
        if cache.prefixes:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return own(chunks)

    _replace_logits(engine, fail_beside_prefixes)

    assert answers(engine, [request(1, base, None, [MARKED, 9])]) == [alone]


def test_an_error_that_ends_the_device_is_raised_and_what_was_answered_before_it_can_be_taken(
    engine: Engine, base: Path
) -> None:
    alone = complete(engine, base, max_new_tokens=1)

    def fail(own: Logits, chunks: Sequence[Chunk]) -> torch.Tensor:
        if any(map(_is_marked, chunks)):
            raise torch.OutOfMemoryError if len(chunks) > 1 else torch.AcceleratorError("device-side assert triggered")
        return own(chunks)

    _replace_logits(engine, fail)
    engine.add(request(1, base, None, max_new_tokens=1))
    engine.add(request(2, base, None, [MARKED]))

    with pytest.raises(torch.AcceleratorError, match="device-side assert"):
        engine.step()

    assert engine.take_replies() == [Done(1, alone)]


def test_a_failure_of_the_device_while_a_token_is_chosen_is_raised_too(
    engine: Engine, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise torch.AcceleratorError("device-side assert triggered")

    monkeypatch.setattr(torch, "searchsorted", fail)
    engine.add(request(1, base, None, max_new_tokens=1))
    engine.add(request(2, base, None, temperature=1.0))

    with pytest.raises(torch.AcceleratorError):
        engine.step()

    assert [reply.id for reply in engine.take_replies() if isinstance(reply, Done)] == [1]


def _even_and_odd(layer: nn.Module, x_1TE: torch.Tensor) -> torch.Tensor:
    """As two experts of which each takes its tokens out of the row."""
    if x_1TE.shape[1] == 1:
        return torch.Tensor(layer(x_1TE))
    even, odd = layer(x_1TE[:, ::2]), layer(x_1TE[:, 1::2])
    y = x_1TE.new_empty(*x_1TE.shape[:2], even.shape[-1])
    y[:, ::2], y[:, 1::2] = even, odd
    return y


def _halves(layer: nn.Module, x_1TE: torch.Tensor) -> torch.Tensor:
    """With prompts of two tokens, each expert takes as many as there are sequences."""
    return torch.cat([layer(half) for half in x_1TE.chunk(2, dim=1)], dim=1)


def _all_in_another_order(layer: nn.Module, x_1TE: torch.Tensor) -> torch.Tensor:
    """As an expert that takes every token, in the order of how much it is meant by them."""
    y_TE: torch.Tensor = layer(x_1TE[0].flip(0)).flip(0)
    return y_TE[None]


@pytest.mark.parametrize("experts", [_even_and_odd, _halves, _all_in_another_order])
def test_a_layer_that_reorders_tokens_gives_each_adapter_passes_of_its_own(
    biased: Path, engine: Engine, base: Path, tmp_path: Path, experts: Experts
) -> None:
    mine = biased / "adapters" / "mine"
    other = shutil.copytree(mine, tmp_path / "other")
    tensors = load_file(other / "adapter_model.safetensors")
    save_file({name: -8 * tensor for name, tensor in tensors.items()}, other / "adapter_model.safetensors")
    adapters = [None, mine, other, mine, None]
    prompt = [5, 6]
    alone = [complete(engine, base, adapter, prompt) for adapter in adapters]
    base_of(engine).empty_prefix_cache()
    model: Any = base_of(engine).model
    attention = model.model.layers[0].self_attn
    attention.q_proj = _AsExperts(attention.q_proj, experts)

    found = answers(engine, [request(at, base, adapter, prompt) for at, adapter in enumerate(adapters)])

    assert len({answer.text for answer in alone}) == 3
    assert found == alone
    assert not base_of(engine).mixes_adapters


class _AsExperts(nn.Module):
    def __init__(self, layer: nn.Module, experts: Experts) -> None:
        super().__init__()
        self.layer = layer
        self.experts = experts

    def forward(self, x_1TE: torch.Tensor) -> torch.Tensor:
        return self.experts(self.layer, x_1TE)


def test_logits_that_are_not_numbers_refuse_their_sequence_alone(engine: Engine, base: Path) -> None:
    prompts = [[5], [MARKED, 6], [7, 8]]
    alone = [complete(engine, base, prompt=prompt) for prompt in prompts]

    def spoil(own: Logits, chunks: Sequence[Chunk]) -> torch.Tensor:
        logits_NV = own(chunks)
        for at, chunk in enumerate(chunks):
            if _is_marked(chunk):
                logits_NV[at, 3] = torch.nan
        return logits_NV

    _replace_logits(engine, spoil)
    found = answers(engine, [request(at, base, None, prompt) for at, prompt in enumerate(prompts)])

    assert [found[0], found[2]] == [alone[0], alone[2]]
    assert isinstance(found[1], Refused)
    assert found[1].message.startswith("The model computed NaN or infinity after 0 new tokens")


@pytest.mark.parametrize(
    ("template", "error"),
    [
        ("{{ 1 + messages[0].content }}", "TypeError: unsupported operand"),
        ("{{ messages[0].content.index('?') }}", "ValueError: substring not found"),
        ("{{ raise_exception('roles must alternate') }}", "roles must alternate"),
    ],
)
def test_a_chat_template_that_raises_refuses_its_request_alone(
    engine: Engine, base: Path, template: str, error: str
) -> None:
    alone = complete(engine, base)
    base_of(engine).tokenizer.chat_template = template

    found = answers(engine, [request(1, base, None), request(2, base, None, [Message("user", "hi")])])

    assert found[0] == alone
    assert isinstance(found[1], Refused)
    assert found[1].message.startswith(f"The chat template does not take these messages: {error}")


def test_a_token_that_only_the_tokenizer_has_is_refused_alone(tmp_path: Path) -> None:
    """Without an embedding it would be an index beyond the table, on CUDA the end of the device's work."""
    base = toys.make(tmp_path / "small", vocab_size=1024)
    engine = Engine(tmp_path / ".cache")
    alone = complete(engine, base, prompt=[1023])
    assert len(base_of(engine).tokenizer) > 1024

    found = answers(engine, [request(1, base, None, [1023]), request(2, base, None, [1024])])

    assert found[0] == alone
    assert found[1] == Refused(2, "prompt holds a token that the model does not have, 1024: its tokens are 0 to 1023")


def test_an_adapter_that_is_cut_short_between_its_check_and_its_reading_is_refused_alone(
    biased: Path, engine: Engine, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = complete(engine, base)
    cut = shutil.copytree(biased / "adapters" / "mine", tmp_path / "cut")
    check = adapter_files.check

    def check_and_cut(folder: Path, skeleton: Any) -> adapter_files.Checked:
        checked = check(folder, skeleton)
        weights = folder / "adapter_model.safetensors"
        weights.write_bytes(weights.read_bytes()[:-100])
        return checked

    monkeypatch.setattr(adapter_files, "check", check_and_cut)
    engine.add(request(1, base, None))
    engine.step()
    engine.add(Load(id=2, source=str(base), adapter=AdapterFiles(str(cut), "1")))

    replies = []
    while not engine.is_idle:
        engine.step()
        replies += engine.take_replies()

    refused, done = replies
    assert isinstance(refused, Refused)
    assert refused.id == 2
    assert refused.message.startswith("cut/adapter_model.safetensors cannot be read: ")
    assert done == Done(1, alone)


def test_an_adapter_whose_stop_token_is_none_of_the_model_s_is_refused_alone(
    biased: Path, engine: Engine, base: Path
) -> None:
    """As the unknown token it would end answers anywhere."""
    mine = biased / "adapters" / "mine"
    base_of(engine).tokenizer.unk_token = base_of(engine).tokenizer.eos_token
    alone = complete(engine, base, mine)
    foreign = structs.replace(request(2, base, mine), chat=ChatSettings(stop_tokens=["<|pad|>", "<|im_end|>"]))

    found = answers(engine, [request(1, base, mine), foreign])

    assert found[0] == alone
    assert isinstance(found[1], Refused)
    assert found[1].message.startswith("The adapter's stop token '<|im_end|>' (chat in its adapter.json) is none of")
