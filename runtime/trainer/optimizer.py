"""AdamW on float32 values, with a linear warm-up and then a linear decay to zero.

transformers' default schedule but for one thing: its warm-up begins with a step at rate 0, which moves nothing; here
the first of w warm-up steps is taken at 1/w of the peak.
"""

from collections.abc import Callable
from typing import Any

import torch

MAX_GRADIENT_NORM = 1.0


def learning_rate_at(step: int, peak: float, warmup_steps: int, total_steps: int) -> float:
    """The rate that step `step` (from 0) is taken with."""
    if step < warmup_steps:
        return peak * (step + 1) / warmup_steps
    return peak * max(0.0, (total_steps - step) / max(1, total_steps - warmup_steps))


class Optimizer:
    """One step at a time over named parameters.

    A parameter that is not float32 (a bias, which bitsandbytes casts to the computing dtype) is trained through a
    float32 copy: in bf16 most of AdamW's small updates would round to nothing.
    """

    def __init__(self, parameters: dict[str, torch.nn.Parameter], *, paged_8bit: bool) -> None:
        self._parameters = parameters
        self._trained = {name: _in_float32(parameter) for name, parameter in parameters.items()}
        if paged_8bit:
            from bitsandbytes.optim.adamw import PagedAdamW8bit  # noqa: PLC0415  CUDA only

            self._adamw: torch.optim.Optimizer = PagedAdamW8bit(self._trained.values(), lr=0.0, weight_decay=0.0)
        else:
            is_on_gpu = all(value.is_cuda for value in self._trained.values())
            self._adamw = torch.optim.AdamW(self._trained.values(), lr=0.0, weight_decay=0.0, fused=is_on_gpu)

    def clip(self) -> float:
        """Clip the norm of all gradients together; returns what it was."""
        for name, parameter in self._parameters.items():
            trained = self._trained[name]
            if trained is not parameter and parameter.grad is not None:
                trained.grad = parameter.grad.float()
                parameter.grad = None
        return float(torch.nn.utils.clip_grad_norm_(self._trained.values(), MAX_GRADIENT_NORM))

    def step(self, learning_rate: float) -> None:
        """Update by the clipped gradients, and clear them."""
        for group in self._adamw.param_groups:
            group["lr"] = learning_rate
        self._adamw.step()
        self._adamw.zero_grad(set_to_none=True)
        self._write_back()

    def state(self) -> dict[str, Any]:
        """AdamW's own state, and the values of float32 copies: others are the parameters' own."""
        copies = {
            name: trained.detach() for name, trained in self._trained.items() if trained is not self._parameters[name]
        }
        return {"values": copies, "adamw": self._adamw.state_dict()}

    @torch.no_grad()
    def restore(self, state: dict[str, Any], saved: Callable[[str], torch.Tensor]) -> None:
        """Go back to a state. `saved` gives the parameters' own values, by their names in the model.

        Raises KeyError, ValueError or what `saved` raises when the state is not of these parameters.
        """
        copies = state["values"]
        for name, trained in self._trained.items():
            trained.copy_(copies[name] if name in copies else saved(name))
        self._adamw.load_state_dict(state["adamw"])
        self._write_back()

    @torch.no_grad()
    def _write_back(self) -> None:
        for name, parameter in self._parameters.items():
            if self._trained[name] is not parameter:
                parameter.copy_(self._trained[name])


def _in_float32(parameter: torch.nn.Parameter) -> torch.nn.Parameter:
    return parameter if parameter.dtype == torch.float32 else torch.nn.Parameter(parameter.detach().float())
