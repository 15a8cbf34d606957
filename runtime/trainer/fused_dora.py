"""A 4-bit linear layer and its DoRA as one operation, as `fused_lora` has it for LoRA.

peft's own module makes a float32 copy of each layer's weights, and with dropout has autograd keep it: the whole base in
float32. Here the weights are dequantized where they are needed, and forgotten.
"""

from typing import Any

import torch
from bitsandbytes import matmul_4bit  # type: ignore[attr-defined]  # public, and not declared so
from bitsandbytes.functional import dequantize_4bit

from runtime.model.dora import row_norms


class DoraOn4bit(torch.autograd.Function):
    """y = x W^T + b + s (x * k) A^T B^T + (c - 1) * u, with u = (x * k) W^T + s (x * k) A^T B^T and c = m / n.

    x [T, I], W [O, I] in NF4, A [r, I], B [O, r], m [O], k a dropout mask (scaled by 1 / (1 - p)) or None. The norms
    n = ||W + s B A|| count as constants (section 4.3 of the paper). Without dropout y = c * u + b; with it, as in the
    authors' code, it drops the input of what DoRA adds to the layer, the base's part included.

    With g = dy, h = (c - 1) * g: dm = sum of g * u / n, dA = s ((g + h) B)^T (x * k), dB = s (g + h)^T (x * k) A^T,
    dx = g W + (h W + s (g + h) B A) * k, db = sum of g.
    """

    @staticmethod
    def forward(  # noqa: PLR0913, PLR0917  the formula's own
        context: Any,  # noqa: ANN401  torch's, as it pleases
        x_TI: torch.Tensor,
        weight: Any,  # noqa: ANN401  bitsandbytes' Params4bit, which carries its quant_state
        bias_O: torch.Tensor | None,
        a_RI: torch.Tensor,
        b_OR: torch.Tensor,
        magnitude_O: torch.Tensor,
        scaling: float,
        dropout: float,
    ) -> torch.Tensor:
        dtype = x_TI.dtype
        norm_O = row_norms(dequantize_4bit(weight.data, weight.quant_state), a_RI, b_OR, scaling)
        keep_TI = torch.empty_like(x_TI, dtype=torch.bool).bernoulli_(1 - dropout) if dropout > 0 else None
        kept = 1 / (1 - dropout)
        dropped_TI = masked(x_TI, keep_TI)
        xa_TR = dropped_TI @ a_RI.to(dtype).T
        lora_TO = (xa_TR @ b_OR.to(dtype).T).mul_(scaling * kept)
        base_TO: torch.Tensor = matmul_4bit(x_TI, weight.data, quant_state=weight.quant_state, bias=None)
        if keep_TI is None:
            u_TO = base_TO + lora_TO
        else:
            u_TO = matmul_4bit(dropped_TI, weight.data, quant_state=weight.quant_state, bias=None)
            u_TO.mul_(kept).add_(lora_TO)
        y_TO = base_TO.add_(lora_TO).addcmul_((magnitude_O / norm_O - 1).to(dtype), u_TO)
        context.save_for_backward(x_TI, keep_TI, xa_TR, u_TO, a_RI, b_OR, magnitude_O, norm_O)
        context.weight, context.scaling, context.kept = weight, scaling, kept
        return y_TO if bias_O is None else y_TO.add_(bias_O)

    @staticmethod
    def backward(
        context: Any,  # noqa: ANN401
        dy_TO: torch.Tensor,
    ) -> tuple[torch.Tensor | None, ...]:
        x_TI, keep_TI, xa_TR, u_TO, a_RI, b_OR, magnitude_O, norm_O = context.saved_tensors
        dtype, scaling = dy_TO.dtype, context.scaling * context.kept
        h_TO = dy_TO * (magnitude_O / norm_O - 1).to(dtype)
        both_TO = dy_TO + h_TO
        g_TR = (both_TO @ b_OR.to(dtype)).mul_(scaling)
        dm_O = (dy_TO * u_TO).sum(0, dtype=torch.float32).div_(norm_O)
        da_RI = (g_TR.T @ masked(x_TI, keep_TI)).to(a_RI.dtype)
        db_OR = (both_TO.T @ xa_TR).to(b_OR.dtype).mul_(scaling)
        dx_TI = None
        if context.needs_input_grad[0]:
            weight_OI = dequantize_4bit(context.weight.data, context.weight.quant_state).to(dtype)
            if keep_TI is None:
                dx_TI = (both_TO @ weight_OI).addmm_(g_TR, a_RI.to(dtype))
            else:
                through_TI = (h_TO @ weight_OI).mul_(context.kept).addmm_(g_TR, a_RI.to(dtype))
                dx_TI = (dy_TO @ weight_OI).add_(through_TI.mul_(keep_TI))
        dbias_O = dy_TO.sum(0) if context.needs_input_grad[2] else None
        return dx_TI, None, dbias_O, da_RI, db_OR, dm_O, None, None


def masked(x_TI: torch.Tensor, keep_TI: torch.Tensor | None) -> torch.Tensor:
    """What dropout lets through, not scaled yet."""
    return x_TI if keep_TI is None else x_TI * keep_TI
