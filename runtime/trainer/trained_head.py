"""Cross-entropy behind an output layer that is trained itself, without ever holding all logits.

As many rows at a time as `head_loss` takes; autograd computes their logits a second time in the backward pass.
"""

from typing import Any

import torch
from peft.utils import ModulesToSaveWrapper
from torch import nn
from torch.nn.functional import cross_entropy
from torch.utils.checkpoint import checkpoint

from runtime.trainer.head_loss import capped_logits, parts


def unwrapped(head: nn.Module) -> nn.Module:
    """The layer itself, where PEFT has put its trained copy beside the base's."""
    return head.modules_to_save["default"] if isinstance(head, ModulesToSaveWrapper) else head


def trained_head_losses(
    hidden_NC: torch.Tensor, head: nn.Linear, targets_N: torch.Tensor, cap: float | None = None
) -> torch.Tensor:
    """The losses [N] of hidden states, in nats; the layer's weights get gradients too. Softmax in float32."""
    losses = [hidden_NC[:0].sum(1).float()]
    for part in parts(hidden_NC, head.weight):
        given: tuple[Any, ...] = (hidden_NC[part], head.weight, head.bias, targets_N[part], cap)
        losses.append(checkpoint(_losses, *given, use_reentrant=False, preserve_rng_state=False))
    return torch.cat(losses)


def _losses(
    hidden_NC: torch.Tensor,
    weight_VC: torch.Tensor,
    bias_V: torch.Tensor | None,
    targets_N: torch.Tensor,
    cap: float | None,
) -> torch.Tensor:
    return cross_entropy(capped_logits(hidden_NC, weight_VC, bias_V, cap), targets_N, reduction="none")
