"""A 4-bit linear layer and its LoRA as one operation.

peft composes the layer of nine operations, copies the input to float32 for the adapter, and has autograd keep that
copy, the dropped-out copy and each step between. Here one function keeps the input itself and r numbers a token; the
base's weights are dequantized again in the backward pass, as bitsandbytes does. The adapter is computed in the layer's
own type, as autocast would, from float32 weights, and its gradients are float32.
"""

import logging
from functools import partial
from typing import Any

import torch
from bitsandbytes import matmul_4bit  # type: ignore[attr-defined]  # public, and not declared so
from bitsandbytes.functional import dequantize_4bit
from peft.tuners.lora.bnb import Linear4bit
from peft.tuners.lora.variants import DoraLinearVariant
from torch import nn

from runtime.model.private import replace_forward
from runtime.trainer.fused_dora import DoraOn4bit, masked

log = logging.getLogger("trainer")


class LoraOn4bit(torch.autograd.Function):
    """y = x W^T + b + s (x * k) A^T B^T, for x [T, I], W [O, I] in NF4, A [r, I], B [O, r], k a dropout mask or None.

    With g = s dy B: dA = g^T (x * k), dB = s dy^T (x * k) A^T, dx = dy W + (g A) * k, db = sum of dy.
    """

    @staticmethod
    def forward(  # noqa: PLR0913, PLR0917  the formula's own
        context: Any,  # noqa: ANN401  torch's, as it pleases
        x_TI: torch.Tensor,
        weight: Any,  # noqa: ANN401  bitsandbytes' Params4bit, which carries its quant_state
        bias_O: torch.Tensor | None,
        a_RI: torch.Tensor,
        b_OR: torch.Tensor,
        scaling: float,
        dropout: float,
    ) -> torch.Tensor:
        y_TO: torch.Tensor = matmul_4bit(x_TI, weight.data, quant_state=weight.quant_state, bias=bias_O)
        keep_TI = torch.empty_like(x_TI, dtype=torch.bool).bernoulli_(1 - dropout) if dropout > 0 else None
        kept = scaling / (1 - dropout)  # dropout's own scale rides on LoRA's
        xa_TR = masked(x_TI, keep_TI) @ a_RI.to(x_TI.dtype).T
        y_TO.addmm_(xa_TR, b_OR.to(x_TI.dtype).T, alpha=kept)
        context.save_for_backward(x_TI, keep_TI, xa_TR, a_RI, b_OR)
        context.weight, context.kept = weight, kept
        return y_TO

    @staticmethod
    def backward(
        context: Any,  # noqa: ANN401
        dy_TO: torch.Tensor,
    ) -> tuple[torch.Tensor | None, ...]:
        x_TI, keep_TI, xa_TR, a_RI, b_OR = context.saved_tensors
        g_TR = (dy_TO @ b_OR.to(dy_TO.dtype)).mul_(context.kept)
        da_RI = (g_TR.T @ masked(x_TI, keep_TI)).to(a_RI.dtype)
        db_OR = (dy_TO.T @ xa_TR).to(b_OR.dtype).mul_(context.kept)
        dx_TI = None
        if context.needs_input_grad[0]:
            weight_OI = dequantize_4bit(context.weight.data, context.weight.quant_state).to(dy_TO.dtype)
            dx_TI = dy_TO @ weight_OI
            if keep_TI is None:
                dx_TI.addmm_(g_TR, a_RI.to(dy_TO.dtype))
            else:
                dx_TI += (g_TR @ a_RI.to(dy_TO.dtype)).mul_(keep_TI)
        dbias_O = dy_TO.sum(0) if context.needs_input_grad[2] else None
        return dx_TI, None, dbias_O, da_RI, db_OR, None, None


def fuse(model: nn.Module) -> None:
    """Let every layer that is plain LoRA or DoRA on NF4 compute so; others keep peft's own way."""
    layers = [module for module in model.modules() if isinstance(module, Linear4bit)]
    fused = [layer for layer in layers if _is_known(layer)]
    for layer in fused:
        replace_forward(layer, partial(_forward, layer))
    if len(fused) < len(layers):
        log.info("%s of %s LoRA layers are computed by peft's own modules", len(layers) - len(fused), len(layers))


def _is_known(layer: Linear4bit) -> bool:
    base: Any = layer.get_base_layer()
    return (
        list(layer.active_adapters) == ["default"]
        and (not layer.lora_variant or _is_dora(layer))
        and not layer.lora_bias["default"]
        and base.weight.quant_state is not None
    )


def _is_dora(layer: Linear4bit) -> bool:
    return isinstance(layer.lora_variant.get("default"), DoraLinearVariant)


def _forward(layer: Linear4bit, x: torch.Tensor) -> torch.Tensor:
    base: Any = layer.get_base_layer()  # bitsandbytes' Linear4bit
    if layer.disable_adapters:
        without: torch.Tensor = base(x)
        return without
    dropout = layer.lora_dropout["default"]
    compute = base.compute_dtype or x.dtype
    bias = None if base.bias is None else base.bias.to(compute)
    given = (
        x.to(compute).flatten(0, -2),
        base.weight,
        bias,
        layer.lora_A["default"].weight,
        layer.lora_B["default"].weight,
    )
    settings = (
        layer.scaling["default"],
        dropout.p if isinstance(dropout, nn.Dropout) and dropout.training else 0.0,
    )
    y_TO: torch.Tensor
    if _is_dora(layer):
        magnitude_O = layer.lora_magnitude_vector["default"].weight
        y_TO = DoraOn4bit.apply(*given, magnitude_O, *settings)  # type: ignore[no-untyped-call]
    else:
        y_TO = LoraOn4bit.apply(*given, *settings)  # type: ignore[no-untyped-call]
    return y_TO.view(*x.shape[:-1], -1).to(x.dtype)
