"""The doors into other libraries that are not public. When one of these fails after an update, its sentence says what
Lathe has lost, and runtime/model/private.py where to mend it. tests/runtime/model/test_libraries.py has those that
make imports lighter.
"""

from pathlib import Path
from typing import Any

import pytest
import torch
from bitsandbytes.nn.modules import Linear4bit
from torch import nn
from transformers import AutoModelForCausalLM, modeling_utils

from runtime.model import private


def test_transformers_reads_weights_by_pread(toy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else quantizing a 7B model holds the 13 GB of its files."""
    names = vars(modeling_utils)
    own = names["safe_open"]
    backends = []

    def opened(file: str, **options: Any) -> Any:
        backends.append(options["backend"])
        return own(file, **options)

    monkeypatch.setitem(names, "safe_open", opened)

    with private.weights_read_by_pread():
        AutoModelForCausalLM.from_pretrained(toy)

    assert set(backends) == {"pread"}, "transformers opens its files in another way now"
    assert names["safe_open"] is opened


def test_a_models_attention_can_be_read_and_set_again(toy: Path) -> None:
    """Else a model that fails the trial of packing is not computed with its own attention."""
    model = AutoModelForCausalLM.from_pretrained(toy, attn_implementation="eager")
    own = private.attention_of(model.config)

    model.set_attn_implementation("sdpa")
    changed = private.attention_of(model.config)
    model.set_attn_implementation(own)

    assert (own, changed, private.attention_of(model.config)) == ("eager", "sdpa", "eager")


def test_a_replaced_forward_is_what_a_call_computes() -> None:
    """Else LoRA layers silently take peft's way: slower, and in more memory."""
    layer = nn.Linear(2, 2)
    hooked = []
    layer.register_forward_hook(lambda *_: hooked.append(True))

    private.replace_forward(layer, lambda x: x + 1)

    assert torch.equal(layer(torch.zeros(2)), torch.ones(2))
    assert hooked == [True]
    assert type(layer) is nn.Linear


def test_a_chat_template_is_compiled_as_transformers_does() -> None:
    """Else no conversation can be trained on or answered; tests/runtime/model/test_chat.py holds what is rendered."""
    template = private.compiled_chat_template(
        "{% for message in messages %}{% generation %}{{ message | tojson }}{% endgeneration %}{% break %}{% endfor %}"
    )

    assert template.render(messages=["<é>", "other"]) == '"<é>"'


def test_a_repacked_layers_weights_can_be_read() -> None:
    """Lost: the lengths of a DoRA adapter's weights, on CPUs for which bitsandbytes repacks the base when it is served.

    On other CPUs there is nothing to read back, and the test compares a layer with itself.
    """
    torch.manual_seed(0)
    layer = Linear4bit(64, 96, bias=False, compute_dtype=torch.bfloat16, quant_type="nf4")
    layer.load_state_dict({"weight": torch.randn(96, 64)})
    layer.to("cpu")
    before = private.dequantized(layer).float()
    x_TI = torch.randn(8, 64, dtype=torch.bfloat16)

    with torch.no_grad():
        answer = layer.eval()(x_TI)
    after = private.dequantized(layer).float()

    assert (after - before).norm() <= 0.01 * before.norm()  # the blocks' scales are bf16 by now
    assert torch.equal(layer(x_TI), answer)
