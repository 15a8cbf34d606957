"""A merged model as one GGUF file, tokenizer and chat template inside: for llama.cpp and what is built on it.

The matrices are float16, whatever the base has, with the numbers of the merged model's folder: bf16 has fewer digits,
so that float16 keeps all of a weight that is not nearly zero. A CPU computes it faster: 12 layers of 1,024 on 2 cores
with AVX512-BF16 wrote 112 to 114 tokens/s, with bf16 27 to 97; other CPUs must convert bf16 first.
"""

from functools import partial
from pathlib import Path

import torch
from gguf import GGUFType, LlamaFileType

from runtime.export import asking, gguf_file, gguf_tokenizer, merging, modelfile
from runtime.export.fitted import Fitted
from runtime.export.gguf_file import Entry
from runtime.export.gguf_layout import Layout
from runtime.export.merging import Part
from state.errors import ServiceError

FILE = "model.gguf"


def write(fitted: Fitted, into: Path) -> None:
    """Raises ServiceError for what llama.cpp would not compute, OSError."""
    layout = Layout(fitted.model_name, fitted.config)
    if fitted.is_untied and layout.architecture.output_is_tied:
        raise ServiceError(
            f"Adapter {fitted.adapter.name} unties {fitted.output} from the embedding, "
            f"and llama.cpp's {layout.kind} has but one for both: export it as merged"
        )
    asked = asking.of(fitted)
    entries = _entries(fitted, layout)
    writer = gguf_file.begin(layout.kind, fitted.adapter.name, f"{fitted.model_name} with a LoRA adapter merged")
    writer.add_type(GGUFType.MODEL)
    writer.add_file_type(LlamaFileType.MOSTLY_F16)
    layout.write_settings(writer)
    gguf_tokenizer.write(writer, asked, fitted.config.vocab_size, fitted.model_name)
    gguf_file.finish(writer, into / FILE, entries)
    (into / "Modelfile").write_text(modelfile.for_model(fitted, asked, FILE))


def _entries(fitted: Fitted, layout: Layout) -> list[Entry]:
    entries = []
    factors = layout.rope_factors()
    if factors is not None:
        entries.append(Entry("rope_freqs.weight", list(factors.shape), torch.float32, lambda: factors))
    for part in merging.parts(fitted):
        name = layout.name(part.name)
        if name is None:
            raise ServiceError(f"Model {fitted.model_name} has {part.name}, which llama.cpp's {layout.kind} lacks")
        shape = part.tensor.shape
        dtype = torch.float16 if len(shape) > 1 else torch.float32  # llama.cpp wants its vectors so
        entries.append(Entry(name, shape, dtype, partial(_value, fitted, layout, part, dtype)))
    return entries


def _value(fitted: Fitted, layout: Layout, part: Part, dtype: torch.dtype) -> torch.Tensor:
    value = layout.arrange(part.name)(merging.value(fitted, part)).to(dtype)
    if not bool(value.isfinite().all()):
        raise ServiceError(f"Model {fitted.model_name} has numbers in {part.name} that float16 cannot hold")
    return value
