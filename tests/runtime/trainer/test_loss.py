"""The fast way to the loss is the slow way's result: values, gradients, and nothing seen across documents."""

import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from peft import PeftModel
from torch import nn
from torch.nn.functional import cross_entropy, linear
from transformers import AutoModelForCausalLM, PreTrainedModel

from runtime.model import bases
from runtime.model.device import Facts, choose, pick
from runtime.trainer import head_loss, lora, loss, packing
from runtime.trainer.documents import Document, whole
from runtime.trainer.head_loss import head_losses
from runtime.trainer.loss import one_by_one, packed
from runtime.trainer.packing import Documents, pack
from state.config import LoraConfig
from tests import toys

TOKENS = st.lists(st.integers(2, 2047), min_size=2, max_size=40)


@st.composite
def _documents(draw: st.DrawFn) -> Document:
    """Learned whole, or some spans of it."""
    tokens = draw(TOKENS)
    learned = draw(st.lists(st.booleans(), min_size=len(tokens) - 1, max_size=len(tokens) - 1))
    spans = [(at, at + 1) for at, is_learned in enumerate(learned, start=1) if is_learned]
    return draw(st.sampled_from([whole(tokens), Document(tokens, spans or [(1, 2)])]))


DOCUMENTS = st.lists(_documents(), min_size=1, max_size=6)


def _attach(folder: Path, **changes: Any) -> PeftModel:
    """A toy in float32, not quantized, with an adapter that does something."""
    return _adapt(AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32), **changes)


def _adapt(base: PreTrainedModel, **changes: Any) -> PeftModel:
    torch.manual_seed(0)
    chosen: dict[str, Any] = {"lora_dropout": 0.0, "target_modules": "all-linear"}
    config = LoraConfig(**chosen | changes)
    model = lora.attach(base, config, "toy", "toy")
    for name, parameter in lora.trainable(model).items():
        if "lora_B" in name:
            nn.init.normal_(parameter, std=0.02)
    return model


def _gradients(model: PeftModel, total: torch.Tensor) -> torch.Tensor:
    trained = lora.trainable(model).values()
    gradients = torch.autograd.grad(total, list(trained))
    return torch.cat([gradient.flatten() for gradient in gradients])


@pytest.fixture(scope="module")
def model(toy: Path) -> PeftModel:
    return _attach(toy)


@settings(max_examples=25)
@given(documents=DOCUMENTS)
def test_packed_documents_have_the_loss_and_the_gradients_of_documents_alone(
    model: PeftModel, documents: list[Document]
) -> None:
    fast, slow = packed(model, "cpu")(documents), one_by_one(model, "cpu")(documents)

    assert fast.item() == pytest.approx(slow.item(), rel=1e-5)
    ours, plain = _gradients(model, fast), _gradients(model, slow)
    assert (ours - plain).norm() <= 1e-4 * plain.norm()


@pytest.mark.parametrize("architecture", toys.ARCHITECTURES)
def test_every_known_architecture_takes_the_packed_way(
    tmp_path: Path, architecture: str, caplog: pytest.LogCaptureFixture
) -> None:
    toy = toys.make(tmp_path / "toy", architecture)
    adapted = _adapt(bases.load_base(str(toy), pick(), tmp_path / "bases"))
    documents = [whole([5, 6, 7, 8]), whole([9, 10]), whole(list(range(20, 80)))]

    with caplog.at_level(logging.INFO):
        chosen = loss.choose(adapted, "cpu")

    assert "one at a time" not in caplog.text
    with loss.evaluating(adapted):
        fast, slow = chosen(documents).item(), one_by_one(adapted, "cpu")(documents).item()
    assert fast == pytest.approx(slow, rel=1e-3)


def test_a_sliding_window_slides_inside_its_document(tmp_path: Path) -> None:
    adapted = _attach(toys.make(tmp_path / "toy", "mistral", sliding_window=8))
    documents = [whole(list(range(2, 40))), whole(list(range(50, 57)))]
    plain = one_by_one(adapted, "cpu")(documents).item()

    assert packed(adapted, "cpu")(documents).item() == pytest.approx(plain, rel=1e-5)


def test_a_model_that_looks_across_documents_is_computed_one_by_one(
    toy: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The known leak: attention that does not know where documents end."""
    adapted = _attach(toy)
    causal: Any = adapted.get_base_model()
    decoder = causal.get_decoder()
    own = decoder.forward

    def leak(**inputs: Any) -> Any:
        starts = torch.tensor([0, inputs["input_ids"].shape[1]], dtype=torch.int32)
        return own(**inputs | {"documents": Documents((int(starts[1]),), starts)})

    monkeypatch.setattr(decoder, "forward", leak)

    with caplog.at_level(logging.INFO):
        chosen = loss.choose(adapted, "cpu")

    assert "one at a time: a document's states depend on the document before it" in caplog.text
    assert chosen([whole([5, 6, 7])]).item() > 0


def test_a_model_with_something_behind_its_output_layer_is_computed_one_by_one(
    toy: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A cap that its configuration does not tell of, in this case."""
    adapted = _attach(toy)
    causal = adapted.get_base_model()
    own = causal.forward

    def capped(**inputs: Any) -> Any:
        outputs = own(**inputs)
        outputs.logits = 3 * torch.tanh(5 * outputs.logits / 3)
        return outputs

    monkeypatch.setattr(causal, "forward", capped)

    with caplog.at_level(logging.INFO):
        loss.choose(adapted, "cpu")

    assert "one at a time: tried, it differs from the model's own way" in caplog.text


@pytest.mark.parametrize(
    ("architecture", "changes"),
    [
        ("phi", {"bias": "all"}),  # the output layer's too
        ("gemma2", {"modules_to_save": ["lm_head", "embed_tokens", "norm"]}),  # with a cap, and tied before
    ],
)
def test_a_trained_output_layer_takes_the_packed_way_too(
    tmp_path: Path, architecture: str, changes: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In parts, each with the gradients of all that is trained."""
    monkeypatch.setattr(head_loss, "LOGITS_AT_ONCE", 5 * 2048)
    adapted = _attach(toys.make(tmp_path / "toy", architecture), **changes)
    documents = [whole(list(range(20, 33))), whole([5, 6, 7])]

    fast, slow = packed(adapted, "cpu")(documents), one_by_one(adapted, "cpu")(documents)

    assert fast.item() == pytest.approx(slow.item(), rel=1e-5)
    ours, plain = _gradients(adapted, fast), _gradients(adapted, slow)
    assert (ours - plain).norm() <= 1e-4 * plain.norm()


def test_a_trained_embedding_adds_up_its_gradients_in_float32(toy: Path, tmp_path: Path) -> None:
    """Of a token that is there a thousand times, bf16 would keep a quarter."""
    base = bases.load_base(str(toy), choose(Facts(kind="cpu", name="", memory_mb=1, supports_bf16=True)), tmp_path)
    adapted: Any = _adapt(base, modules_to_save=["embed_tokens"])
    embedding = adapted.get_base_model().get_input_embeddings()

    embedding(torch.full((1, 1000), 7)).sum().backward()

    gradient = embedding.modules_to_save["default"].weight.grad
    assert gradient[7].float().mean() == 1000
    assert not gradient[8].any()


def test_packing_restarts_positions_and_gives_targets_to_what_is_learned() -> None:
    row = pack([whole([5, 6, 7]), Document([8, 9, 3, 4], [(1, 2), (3, 4)])], "cpu")

    assert row.input_ids_1T.tolist() == [[5, 6, 7, 8, 9, 3, 4]]
    assert row.position_ids_1T.tolist() == [[0, 1, 2, 0, 1, 2, 3]]
    assert row.targets_T.tolist() == [6, 7, -100, 9, -100, 4, -100]
    assert row.documents.lengths == (3, 4)
    assert row.documents.starts_N1.tolist() == [0, 3, 7]


@pytest.mark.parametrize(("torch_version", "window"), [("2.11", None), ("2.13", None), ("2.13", 8)])
def test_the_kernel_of_a_gpu_is_asked_for_what_is_computed_elsewhere(
    tmp_path: Path, torch_version: str, window: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its call, answered as its documentation says: tokens before heads, a window that does not count the token.

    torch 2.11's takes keys of fewer heads untold, and knows no word for it.
    """
    adapted = _attach(toys.make(tmp_path / "toy", "mistral", sliding_window=window))
    documents = [whole(list(range(2, 40))), whole(list(range(50, 57)))]
    plain = packed(adapted, "cpu")(documents).item()
    calls = []

    def kernel(
        query_THD: Any,
        key_THD: Any,
        value_THD: Any,
        starts: Any,
        _starts: Any,
        longest: int,
        _longest: int,
        *,
        scale: float | None,
        window_size: tuple[int, int],
    ) -> torch.Tensor:
        calls.append(longest)
        left, right = window_size
        place = torch.arange(query_THD.shape[0])
        document = torch.bucketize(place, starts[1:].long(), right=True)
        distance = place[:, None] - place[None]
        seen = (document[:, None] == document[None]) & (distance >= -right) & ((distance <= left) | (left < 0))
        query, key, value = (part.transpose(0, 1)[None] for part in (query_THD, key_THD, value_THD))
        found_1HTD = nn.functional.scaled_dot_product_attention(
            query, key, value, attn_mask=seen, scale=scale, enable_gqa=True
        )
        return found_1HTD[0].transpose(0, 1)

    def told(*tensors: Any, enable_gqa: bool = False, **options: Any) -> torch.Tensor:
        assert enable_gqa, "2.13's refuses keys of fewer heads untold"
        return kernel(*tensors, **options)

    monkeypatch.setattr(packing, "varlen_attn", kernel if torch_version == "2.11" else told)
    monkeypatch.setattr(packing, "may_be_one_call", lambda *_: True)
    found = packed(adapted, "cpu")(documents).item()

    assert found == pytest.approx(plain, rel=1e-5)
    assert calls[-1] == 38


@pytest.mark.parametrize(("with_bias", "cap"), [(False, None), (True, None), (True, 0.7)])
def test_the_head_loss_equals_cross_entropy_over_all_logits(
    *, with_bias: bool, cap: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(head_loss, "LOGITS_AT_ONCE", 3 * 50)  # three rows at a time, and a rest
    torch.manual_seed(0)
    hidden_NC = torch.randn(11, 8, requires_grad=True)
    head = nn.Linear(8, 50, bias=with_bias).requires_grad_(requires_grad=False)
    targets_N = torch.randint(50, (11,))

    ours = head_losses(hidden_NC, head, targets_N, cap).sum()
    logits_NV = linear(hidden_NC, head.weight, head.bias)
    plain = cross_entropy(logits_NV if cap is None else cap * torch.tanh(logits_NV / cap), targets_N, reduction="sum")

    assert ours.item() == pytest.approx(plain.item(), rel=1e-6)
    (gradient,), (expected,) = (torch.autograd.grad(2 * total, hidden_NC) for total in (ours, plain))
    assert torch.allclose(gradient, expected, atol=1e-6)
