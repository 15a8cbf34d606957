"""The losses of preferences, of log-probabilities alone: no model, no tokens."""

import torch
from msgspec import Struct
from torch.nn.functional import logsigmoid

from runtime.trainer.preferences.figures import Figures
from state.config import LossType


class Measured(Struct, frozen=True):
    """Of P pairs. `losses_P` has a gradient where the policy's log-probabilities have one."""

    losses_P: torch.Tensor
    rewards_P2: torch.Tensor
    logps_P2: torch.Tensor

    def sums(self) -> torch.Tensor:
        """All that `figures` needs [6], on the device, without a gradient."""
        chosen_P, rejected_P = self.rewards_P2.unbind(1)
        preferred_P = (chosen_P > rejected_P).float()
        each = (self.losses_P, chosen_P, rejected_P, preferred_P, *self.logps_P2.unbind(1))
        return torch.stack([values_P.detach().sum() for values_P in each])


def figures(pairs: int, sums: torch.Tensor) -> Figures:
    loss, chosen, rejected, preferred, logps_chosen, logps_rejected = sums.tolist()
    return Figures(
        pairs=pairs,
        loss=loss,
        rewards_chosen=chosen,
        rewards_rejected=rejected,
        preferred=preferred,
        logps_chosen=logps_chosen,
        logps_rejected=logps_rejected,
    )


def measure(
    loss_type: LossType, beta: float, policy_P2: torch.Tensor, reference_P2: torch.Tensor, lengths_P2: torch.Tensor
) -> Measured:
    """From the log-probabilities of chosen and rejected answers, in nats, and their lengths in learned tokens.

    With d = log policy - log reference of an answer:

    "sigmoid", DPO (Rafailov et al. 2023, equation 7): -log sigmoid(beta (d_chosen - d_rejected)).
    "ipo" (Azar et al. 2023, equation 17, with beta as its tau): (d_chosen / n_chosen - d_rejected / n_rejected -
    1 / (2 beta))^2, of answers of n tokens. The paper's equation has no n; TRL divides as its authors do.
    """
    apart_P2 = policy_P2 - reference_P2
    if loss_type == "ipo":
        chosen_P, rejected_P = (apart_P2 / lengths_P2).unbind(1)
        losses_P = (chosen_P - rejected_P - 1 / (2 * beta)).square()
    else:
        chosen_P, rejected_P = apart_P2.unbind(1)
        losses_P = -logsigmoid(beta * (chosen_P - rejected_P))
    return Measured(losses_P, beta * apart_P2.detach(), policy_P2.detach())
