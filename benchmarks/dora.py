"""`python -m benchmarks.dora`: a step of DoRA as Lathe computes it, by PEFT's own modules, and of LoRA.

The median CPU time of forward and backward over interleaved rounds, and what autograd keeps between the two.
"""

import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import torch
from torch import nn

from runtime.model.bases import load_base
from runtime.model.device import pick
from runtime.process import cpu
from runtime.trainer import lora
from runtime.trainer.documents import whole
from runtime.trainer.fused_lora import fuse
from runtime.trainer.loss import SummedLoss, choose
from state.config import LoraConfig
from state.models import BUNDLED

ROUNDS = 5
DOCUMENTS = [whole(list(range(first, first + 256))) for first in range(100, 104)]
WAYS = {"LoRA": (False, True), "DoRA": (True, True), "DoRA by PEFT's modules": (True, False)}
"""Whether it is DoRA, and whether its layers are fused."""


def adapted(quantized: Path, dropout: float, *, use_dora: bool, is_fused: bool) -> tuple[nn.Module, SummedLoss]:
    setup = pick()
    base = load_base(str(BUNDLED / "tiny-python"), setup, quantized)
    config = LoraConfig(r=16, lora_alpha=32, lora_dropout=dropout, target_modules="all-linear", use_dora=use_dora)
    model = lora.attach(base, config, "tiny-python", "tiny-python")
    if is_fused:
        fuse(model)
    return model, choose(model, setup.device)


def kept_mb(model: nn.Module, loss: SummedLoss) -> float:
    own = {tensor.untyped_storage().data_ptr() for tensor in (*model.parameters(), *model.buffers())}
    sizes: dict[int, int] = {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            sizes[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda kept: kept):
        total = loss(DOCUMENTS)
    del total
    return sum(sizes.values()) / 2**20


def main() -> None:
    cpu.prepare()
    with TemporaryDirectory() as folder:
        for dropout in (0.0, 0.05):
            ways = {
                way: adapted(Path(folder), dropout, use_dora=use_dora, is_fused=is_fused)
                for way, (use_dora, is_fused) in WAYS.items()
            }
            times: dict[str, list[float]] = {way: [] for way in ways}
            for _ in range(ROUNDS):
                for way, (_, loss) in ways.items():
                    began = time.process_time()
                    loss(DOCUMENTS).backward()
                    times[way].append(time.process_time() - began)
            for way, (model, loss) in ways.items():
                print(f"| {dropout} | {way} | {median(times[way]):.2f} | {kept_mb(model, loss):.0f} |")


if __name__ == "__main__":
    main()
