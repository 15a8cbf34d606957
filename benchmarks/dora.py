"""`python -m benchmarks.dora`: a step of DoRA as Lathe computes it, by PEFT's own modules, and of LoRA.

The median CPU time of forward and backward over interleaved rounds, and what autograd keeps between the two.
"""

import time
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from torch import nn

from runtime.model.bases import load_base
from runtime.model.device import pick
from runtime.process import cpu
from runtime.trainer import lora, memory
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
                kept_mb = memory.kept(model, partial(loss, DOCUMENTS)) / 2**20
                print(f"| {dropout} | {way} | {median(times[way]):.2f} | {kept_mb:.0f} |")


if __name__ == "__main__":
    main()
