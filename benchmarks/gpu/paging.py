"""Whether a GPU computes with keys and values in pages, and by recorded passes, what it computes with plain caches."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel

from benchmarks.gpu.figures import made
from benchmarks.gpu.setting import Failed, Setting
from benchmarks.server import CHECKOUT
from runtime.inference import ragged
from runtime.inference.adapters import Adapters
from runtime.inference.paged import attention, decoding_graphs, runner
from runtime.inference.ragged import Chunk, ModelRunner
from runtime.model import bases, device, memory, private
from runtime.model.trial import check_close

LENGTHS = (1, 40, 255, 256, 300)  # of prompts, around a page of 256 tokens
STEPS = 6  # of one token a sequence; the first is computed plainly, the second recorded
TOLERANCE = 0.03  # of the logits' norm; bf16 keeps 8 bits
ROWS = (1, 8, 32)
PASSES = 32
MB = 2**20


def pages(setting: Setting) -> str:
    """Prompts and single tokens of sequences beside each other, by torch's flash kernel for pages on a GPU."""
    with _counted() as counts, _without_graphs():
        told = _against_plain_caches(setting)
    if torch.cuda.is_available() and not counts["flash"]:
        raise Failed(f"the GPU's flash kernel for pages was not asked; {told}")
    return f"{counts['flash']} calls of the GPU's flash kernel for pages: {told}"


def graphs(setting: Setting) -> str:
    """The same with passes of single tokens as CUDA graphs."""
    setting.need_gpu("graphs are CUDA's")
    with _counted() as counts:
        told = _against_plain_caches(setting)
    if not counts["replayed"]:
        raise Failed(f"no pass was replayed; {told}")
    return f"{counts['recorded']} graphs recorded, {counts['replayed']} passes replayed: {told}"


def left_memory(setting: Setting) -> str:
    """Torch refuses to take what is to be left to jobs that train."""
    setting.need_gpu("torch bounds what it takes on CUDA")
    free, _ = torch.cuda.mem_get_info()
    memory.leave("cuda:0", free - 512 * MB)
    fits = torch.empty(256 * MB, dtype=torch.uint8, device="cuda")
    try:
        torch.empty(512 * MB, dtype=torch.uint8, device="cuda")
    except torch.OutOfMemoryError:
        del fits
        memory.leave("cuda:0", 0)
        torch.empty(512 * MB, dtype=torch.uint8, device="cuda")
        return f"of {free // MB} MB free, 512 were to be taken, and no more could be"
    raise Failed("768 MB were taken where 512 might be")


def speed(setting: Setting) -> str:
    """Milliseconds a pass of 1, 8 and 32 sequences takes, as a graph and launched from Python."""
    setting.need_gpu("graphs are CUDA's")
    base, size = setting.shared / "figures" / "models" / "llama", made(setting).size
    recorded = _timed(_chosen(_loaded(setting, base)))
    with _without_graphs():
        launched = _timed(_chosen(_loaded(setting, base)))
    rows = [f"{one}: {recorded[one]:.1f} and {launched[one]:.1f} ms" for one in ROWS]
    return f"{size}, a pass as a graph and launched from Python: {', '.join(rows)}"


def _against_plain_caches(setting: Setting) -> str:
    model = _loaded(setting, CHECKOUT / "models" / "tiny-python")
    own = private.attention_of(model.config)
    expected = _played(ragged.choose(model))
    model.set_attn_implementation(own)
    found = _played(_chosen(model))
    apart = [float((one - other).norm() / other.norm()) for one, other in zip(found, expected, strict=True)]
    for one, other in zip(found, expected, strict=True):
        check_close(one, other, TOLERANCE)
    return f"logits of {len(found)} passes of {len(LENGTHS)} sequences are at most {max(apart):.2%} apart"


def _loaded(setting: Setting, base: Path) -> PreTrainedModel:
    model: PreTrainedModel = bases.load_base(str(base), device.pick(), setting.folder / "bases").eval()
    return model


def _chosen(model: PreTrainedModel) -> ModelRunner:
    devices = runner.DEVICES
    vars(runner)["DEVICES"] = (model.device.type,)  # a CPU, too, where there is no GPU
    try:
        chosen = runner.choose(model, Adapters(model))
    finally:
        vars(runner)["DEVICES"] = devices
    if chosen.pool is None:
        raise Failed("keys and values are not in pages; the log says why")
    chosen.pool.grow(sum(chosen.pool.pages_of(length + STEPS) for length in LENGTHS) + 2 * max(ROWS))
    return chosen


@torch.inference_mode()
def _played(chosen: ModelRunner) -> list[torch.Tensor]:
    texts = [[(7 * at + row) % 2000 for at in range(length + STEPS)] for row, length in enumerate(LENGTHS)]
    caches = [chosen.new_cache() for _ in LENGTHS]

    def computed(sizes: Sequence[int]) -> torch.Tensor:
        chunks = [
            Chunk(text[cache.length : cache.length + size], cache)
            for text, cache, size in zip(texts, caches, sizes, strict=True)
        ]
        return chosen.logits(chunks).float().clone()

    return [computed(LENGTHS), *(computed([1] * len(LENGTHS)) for _ in range(STEPS))]


@torch.inference_mode()
def _timed(chosen: ModelRunner) -> dict[int, float]:
    took = {}
    for rows in ROWS:
        caches = [chosen.new_cache() for _ in range(rows)]
        chosen.logits([Chunk(list(range(100)), cache) for cache in caches])
        for number in range(PASSES + 3):
            if number == 3:  # warmed up and recorded
                torch.cuda.synchronize()
                began = time.perf_counter()
            chosen.logits([Chunk([number], cache) for cache in caches])
        torch.cuda.synchronize()
        took[rows] = 1000 * (time.perf_counter() - began) / PASSES
    return took


@contextmanager
def _counted() -> Iterator[dict[str, int]]:
    """How often the kernel is asked, and graphs are recorded and replayed, in the block."""
    counts = {"flash": 0, "recorded": 0, "replayed": 0}
    kernel, record = vars(attention)["varlen_attn"], decoding_graphs.cuda_graph

    def asked(*arguments: Any, **options: Any) -> Any:  # noqa: ANN401
        counts["flash"] += 1
        return kernel(*arguments, **options)

    def recorded(compute: Callable[[], torch.Tensor]) -> Callable[[], torch.Tensor]:
        replay = record(compute)
        counts["recorded"] += 1

        def replayed() -> torch.Tensor:
            counts["replayed"] += 1
            return replay()

        return replayed

    vars(attention)["varlen_attn"], decoding_graphs.RECORDERS["cuda"] = asked, recorded
    try:
        yield counts
    finally:
        vars(attention)["varlen_attn"], decoding_graphs.RECORDERS["cuda"] = kernel, record


@contextmanager
def _without_graphs() -> Iterator[None]:
    record = decoding_graphs.RECORDERS.pop("cuda")
    try:
        yield
    finally:
        decoding_graphs.RECORDERS["cuda"] = record
