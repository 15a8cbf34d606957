"""A merged model as one GGUF file, tokenizer and chat template inside: for llama.cpp and what is built on it.

The matrices are float16, whatever the base has, with the numbers of the merged model's folder: bf16 has fewer digits,
so that float16 keeps all of a weight that is not nearly zero. A CPU computes it faster: 12 layers of 1,024 on 2 cores
with AVX512-BF16 wrote 112 to 114 tokens/s, with bf16 27 to 97; other CPUs must convert bf16 first.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from gguf import GGMLQuantizationType, GGUFType, LlamaFileType

from runtime.export import asking, gguf_file, gguf_tokenizer, merging, modelfile
from runtime.export.asking import Asking
from runtime.export.fitted import Fitted
from runtime.export.gguf_file import Entry
from runtime.export.gguf_layout import Layout
from runtime.export.merging import Part
from state.errors import ServiceError

FILE = "model.gguf"

KindOf = Callable[[Part, list[int]], GGMLQuantizationType]
"""How a matrix of this shape is rounded."""


def write(fitted: Fitted, into: Path) -> None:
    """Raises ServiceError for what llama.cpp would not compute, OSError."""
    layout = Layout(fitted.model_name, fitted.config)
    if fitted.is_untied and layout.architecture.output_is_tied:
        raise ServiceError(
            f"Adapter {fitted.adapter.name} unties {fitted.output} from the embedding, "
            f"and llama.cpp's {layout.kind} has but one for both: export it as merged"
        )
    asked = asking.of(fitted)
    description = f"{fitted.model_name} with a LoRA adapter merged"
    write_model(fitted, asked, into / FILE, description, kinds=(LlamaFileType.MOSTLY_F16, _half))
    (into / "Modelfile").write_text(modelfile.for_model(fitted, asked, FILE))


def write_model(
    fitted: Fitted, asked: Asking, file: Path, description: str, *, kinds: tuple[LlamaFileType, KindOf]
) -> None:
    """`kinds`: how most matrices are rounded, and how each is.

    Raises ServiceError for what llama.cpp would not compute, OSError.
    """
    file_type, kind_of = kinds
    layout = Layout(fitted.model_name, fitted.config)
    entries = _entries(fitted, layout, kind_of)
    writer = gguf_file.begin(layout.kind, fitted.adapter.name, description)
    writer.add_type(GGUFType.MODEL)
    writer.add_file_type(file_type)
    layout.write_settings(writer)
    gguf_tokenizer.write(writer, asked, fitted.config.vocab_size, fitted.model_name)
    gguf_file.finish(writer, file, entries)


def _half(*_: object) -> GGMLQuantizationType:
    return GGMLQuantizationType.F16


def _entries(fitted: Fitted, layout: Layout, kind_of: KindOf) -> list[Entry]:
    entries = []
    factors = layout.rope_factors()
    if factors is not None:
        entries.append(Entry("rope_freqs.weight", list(factors.shape), GGMLQuantizationType.F32, lambda: factors))
    for part in merging.parts(fitted):
        name = layout.name(part.name)
        if name is None:
            raise ServiceError(f"Model {fitted.model_name} has {part.name}, which llama.cpp's {layout.kind} lacks")
        shape = part.tensor.shape
        kind = kind_of(part, shape) if len(shape) > 1 else GGMLQuantizationType.F32  # llama.cpp wants its vectors so
        entries.append(Entry(name, shape, kind, partial(_value, fitted, layout, part, kind)))
    return entries


def _value(fitted: Fitted, layout: Layout, part: Part, kind: GGMLQuantizationType) -> torch.Tensor:
    """Blocks that share a scale have it in float16: what that cannot hold, they cannot either."""
    dtype = torch.float32 if kind is GGMLQuantizationType.F32 else torch.float16
    value = layout.arrange(part.name)(merging.value(fitted, part))
    value = value.to(dtype)
    if not bool(value.isfinite().all()):
        raise ServiceError(f"Model {fitted.model_name} has numbers in {part.name} that float16 cannot hold")
    return value
