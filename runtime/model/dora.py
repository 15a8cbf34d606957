"""DoRA (Liu et al. 2024): an adapter that learns the length of each output's weights beside their direction.

The adapted weight is W' = m * (W + s B A) / ||W + s B A||, with one length m and one norm for each output (a row of W).
"""

import torch

AT_ONCE = 2**22  # weights that are float32 at a time


def row_norms(weight_OI: torch.Tensor, a_RI: torch.Tensor, b_OR: torch.Tensor, scaling: float) -> torch.Tensor:
    """||W + s B A|| of each row, in float32: [O]."""
    rows = max(1, AT_ONCE // weight_OI.shape[1])
    parts = [slice(first, first + rows) for first in range(0, weight_OI.shape[0], rows)]
    a_RI, b_OR = a_RI.float(), b_OR.float()
    return torch.cat(
        [torch.addmm(weight_OI[part].float(), b_OR[part], a_RI, alpha=scaling).norm(dim=1) for part in parts]
    )
