"""A base model alone as one GGUF file in 4 bits: what Lathe's own llama.cpp serves, its adapters over it.

The layers' matrices are Q4_0, a scale for 32 numbers: 4.5 bits each, as many as the NF4 that Lathe trains on, and what
llama.cpp computes fastest on a CPU. The embedding and the output layer, which NF4 leaves alone, are Q8_0.
"""

from pathlib import Path

from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, LlamaFileType

from runtime.export import asking, gguf_model
from runtime.export.fitted import Fitted
from runtime.export.merging import Part


def write(fitted: Fitted, into: Path) -> None:
    """Raises ServiceError for what llama.cpp would not compute, OSError."""
    around = {f"{fitted.embedding}.weight", f"{fitted.output}.weight"}

    def kind_of(part: Part, shape: list[int]) -> GGMLQuantizationType:
        kind = GGMLQuantizationType.Q8_0 if part.name in around else GGMLQuantizationType.Q4_0
        block, _ = GGML_QUANT_SIZES[kind]
        return kind if shape[-1] % block == 0 else GGMLQuantizationType.F16

    description = f"{fitted.model_name} in 4 bits"
    kinds = (LlamaFileType.MOSTLY_Q4_0, kind_of)
    gguf_model.write_model(fitted, asking.of(fitted), into / gguf_model.FILE, description, kinds=kinds)
