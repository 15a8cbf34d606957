"""`python -m benchmarks.head_loss`: Lathe's loss behind a frozen output layer, torch's own, and the plain composition.

The median time of forward and backward over interleaved rounds, the process's growth at its peak, and how far loss and
gradient are from the plain composition in float32.
"""

import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from statistics import median

import psutil
import torch
from torch import nn
from torch.nn.functional import cross_entropy, linear_cross_entropy

from runtime.process import cpu
from runtime.trainer.head_loss import head_losses
from runtime.trainer.progress import peak_memory_mb

TOKENS, HIDDEN = 1024, 1024
ROUNDS = 5
Loss = Callable[[torch.Tensor, nn.Linear, torch.Tensor], torch.Tensor]


def lathes(hidden_NC: torch.Tensor, head: nn.Linear, targets_N: torch.Tensor) -> torch.Tensor:
    return head_losses(hidden_NC, head, targets_N).sum()


def plain(hidden_NC: torch.Tensor, head: nn.Linear, targets_N: torch.Tensor) -> torch.Tensor:
    return cross_entropy(head(hidden_NC).float(), targets_N, reduction="sum")


def torchs(hidden_NC: torch.Tensor, head: nn.Linear, targets_N: torch.Tensor) -> torch.Tensor:
    options = nn.LinearCrossEntropyOptions()
    return linear_cross_entropy(hidden_NC, head.weight, targets_N, reduction="sum", options=options)


WAYS: dict[str, Loss] = {"Lathe": lathes, "torch": torchs, "plain": plain}


def inputs(vocabulary: int, dtype: torch.dtype) -> tuple[torch.Tensor, nn.Linear, torch.Tensor]:
    torch.manual_seed(0)
    head = nn.Linear(HIDDEN, vocabulary, bias=False, dtype=dtype).requires_grad_(requires_grad=False)
    hidden_NC = torch.randn(TOKENS, HIDDEN, dtype=dtype, requires_grad=True)
    return hidden_NC, head, torch.randint(vocabulary, (TOKENS,))


def peak_mb(way: str, vocabulary: int, dtype: torch.dtype) -> float:
    given = inputs(vocabulary, dtype)
    before = psutil.Process().memory_info().rss / 2**20
    WAYS[way](*given).backward()
    return peak_memory_mb() - before


def errors(way: str, vocabulary: int, dtype: torch.dtype) -> tuple[float, float]:
    """Of the loss, and of the gradient's norm; relative."""
    hidden_NC, head, targets_N = inputs(vocabulary, dtype)
    found = WAYS[way](hidden_NC, head, targets_N)
    (gradient_NC,) = torch.autograd.grad(found, hidden_NC)
    exact_NC = hidden_NC.detach().float().requires_grad_()
    expected = plain(exact_NC, head.float(), targets_N)
    (expected_NC,) = torch.autograd.grad(expected, exact_NC)
    distance = (gradient_NC.float() - expected_NC).norm() / expected_NC.norm()
    return abs(found.item() / expected.item() - 1), distance.item()


def milliseconds(vocabulary: int, dtype: torch.dtype) -> dict[str, float]:
    given = inputs(vocabulary, dtype)
    taken: dict[str, list[float]] = {way: [] for way in WAYS}
    for _ in range(ROUNDS):
        for way, loss in WAYS.items():
            began = time.monotonic()
            loss(*given).backward()
            taken[way].append(1000 * (time.monotonic() - began))
    return {way: median(times) for way, times in taken.items()}


def main() -> None:
    print("| vocabulary | type | way | ms | peak MB | loss off by | gradient off by |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for vocabulary in (32_000, 2_048):
        for dtype in (torch.bfloat16, torch.float32):
            times = milliseconds(vocabulary, dtype)
            for way in WAYS:
                with ProcessPoolExecutor(1, get_context("spawn")) as alone:
                    peak = alone.submit(peak_mb, way, vocabulary, dtype).result()
                loss, gradient = errors(way, vocabulary, dtype)
                row = f"| {vocabulary:,} | {str(dtype)[6:]} | {way} | {times[way]:.0f} | {peak:.0f} "
                print(f"{row}| {loss:.1e} | {gradient:.1e} |")


if __name__ == "__main__":
    cpu.prepare()
    main()
