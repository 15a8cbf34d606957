"""An adapter as llama.cpp's own kind of LoRA file, which it puts over the base's GGUF."""

from pathlib import Path

from gguf import GGMLQuantizationType, GGUFType

from runtime.export import asking, gguf_file, merging, modelfile
from runtime.export.fitted import Fitted
from runtime.export.gguf_file import Entry
from runtime.export.gguf_layout import Layout
from state import store
from state.adapters import CONFIG
from state.errors import ServiceError

FILE = "adapter.gguf"


def write(fitted: Fitted, into: Path) -> None:
    """Raises ServiceError for an adapter that is more than llama.cpp's LoRA can hold, OSError."""
    layout = Layout(fitted.model_name, fitted.config)
    alpha = float(str(store.read_as_written(fitted.adapter / CONFIG).get("lora_alpha", 8)))
    _check(fitted)
    asked = asking.of(fitted)
    writer = gguf_file.begin(layout.kind, fitted.adapter.name, f"A LoRA adapter for {fitted.model_name}")
    writer.add_type(GGUFType.ADAPTER)
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", alpha)
    entries = [entry for layer in fitted.checked.scalings for entry in _entries(fitted, layout, layer, alpha)]
    gguf_file.finish(writer, into / FILE, entries)
    if not asked.is_bases_own:
        asking.write_template(asked, into)
    (into / "Modelfile").write_text(modelfile.for_adapter(fitted, asked, FILE))


def _check(fitted: Fitted) -> None:
    """Raises ServiceError."""
    replaced = next(iter(fitted.checked.replaces), None)
    reason = None
    if fitted.checked.magnitudes:
        reason = "it is a DoRA adapter, and a GGUF LoRA has no place for its magnitudes"
    elif replaced is not None:
        reason = f"it brings another {replaced}, and a GGUF LoRA has LoRA matrices only"
    elif fitted.is_untied:
        reason = f"it changes {fitted.output}, which shares its weights with the embedding"
    if reason is not None:
        raise ServiceError(
            f"Adapter {fitted.adapter.name} cannot be exported as gguf-lora: {reason}; export it as gguf"
        )


def _entries(fitted: Fitted, layout: Layout, layer: str, alpha: float) -> list[Entry]:
    """Llama.cpp scales by alpha / r; what a layer's own scaling is beside that goes into its B."""
    name = layout.name(layer)
    if name is None:
        raise ServiceError(f"Adapter {fitted.adapter.name} changes {layer}, which llama.cpp's {layout.kind} lacks")
    a_RI, b_OR = merging.lora(fitted, layer)
    b_OR = layout.arrange(layer)(b_OR) * (fitted.checked.scalings[layer] * a_RI.shape[0] / alpha)
    return [
        Entry(f"{name}.weight.lora_{side}", list(matrix.shape), GGMLQuantizationType.F32, lambda matrix=matrix: matrix)  # type: ignore[misc]
        for side, matrix in (("a", a_RI), ("b", b_OR))
    ]
