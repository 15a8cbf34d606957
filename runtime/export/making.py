"""Making an export's folder. Importing this imports torch."""

from pathlib import Path

from runtime.export import gguf_base, gguf_lora, gguf_model, merged
from runtime.export.fitted import Fitted
from runtime.messages.export import Order
from state import exports, folders

WRITERS = {"merged": merged.write, "gguf": gguf_model.write, "gguf-lora": gguf_lora.write}


def export(order: Order) -> None:
    """Have the order's folder, in place of the one before. Raises ServiceError, OSError."""
    with folders.appearing(Path(order.target), by=exports.BY, replacing=True) as hidden:
        if order.adapter is None:
            gguf_base.write(Fitted.bare(order.model_name, order.source), hidden)
            return
        adapter = Path(order.adapter)
        WRITERS[order.format](Fitted.of(adapter, order.model_name, order.source, order.chat), hidden)
        exports.write_record(hidden, adapter.name, order.model_name, order.format)
