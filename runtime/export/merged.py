"""A merged model's folder, in Hugging Face's layout: for transformers, vLLM, Lathe's own models/, and converters."""

import shutil
from collections.abc import Callable
from pathlib import Path

import torch

from runtime.export import asking, merging
from runtime.export.fitted import Fitted
from runtime.export.merging import Part
from state import models, safetensors, store

SHARD = 4_000_000_000  # bytes
TAKEN_ALONG = (
    *("generation_config.json", "chat_template.jinja", "chat_template.json"),
    *("tokenizer.json", "tokenizer_config.json", "tokenizer.model", "special_tokens_map.json", "added_tokens.json"),
    *("vocab.json", "merges.txt", "LICENSE", "LICENSE.txt", "LICENSE.md"),
)


def write(fitted: Fitted, into: Path) -> None:
    """Raises ServiceError for a base that cannot be merged into, OSError."""
    shards = _shards(merging.parts(fitted))
    weight_map: dict[str, str] = {}
    for number, shard in enumerate(shards, start=1):
        name = f"model-{number:05}-of-{len(shards):05}.safetensors" if len(shards) > 1 else "model.safetensors"
        _write_safetensors(into / name, shard, lambda part: merging.value(fitted, part))
        weight_map |= dict.fromkeys((part.name for part in shard), name)
    if len(shards) > 1:
        size = sum(part.num_bytes for shard in shards for part in shard)
        index = {"metadata": {"total_size": size}, "weight_map": weight_map}
        (into / "model.safetensors.index.json").write_bytes(store.pretty(index))
    config = models.config(fitted.base)
    config.pop("_name_or_path", None)
    if fitted.is_untied:
        config["tie_word_embeddings"] = False
    (into / "config.json").write_bytes(store.pretty(config))
    for file in TAKEN_ALONG:
        if (fitted.base / file).is_file():
            shutil.copyfile(fitted.base / file, into / file)
    asking.write(asking.of(fitted), fitted, into)
    (into / "README.md").write_text(_model_card(fitted))


def _shards(parts: list[Part]) -> list[list[Part]]:
    shards: list[list[Part]] = [[]]
    size = 0
    for part in parts:
        if shards[-1] and size + part.num_bytes > SHARD:
            shards.append([])
            size = 0
        shards[-1].append(part)
        size += part.num_bytes
    return shards


def _write_safetensors(file: Path, parts: list[Part], value: Callable[[Part], torch.Tensor]) -> None:
    """The format's own library wants all tensors of a file in memory; here one is at a time."""
    with file.open("wb") as stream:
        stream.write(safetensors.header((part.name, part.tensor, part.num_bytes) for part in parts))
        for part in parts:
            stream.write(merging.as_bytes(value(part)))


def _model_card(fitted: Fitted) -> str:
    return f"""---
base_model: {fitted.model_name}
library_name: transformers
pipeline_tag: text-generation
tags:
- merge
---
# {fitted.adapter.name}

`{fitted.model_name}` with the LoRA adapter `{fitted.adapter.name}` merged into it by Lathe: every weight is the base's
own plus the adapter's change, in the base's own type. The adapter was trained on the base in 4-bit NF4, so answers may
differ a little from those of adapter and NF4 base together.

```python
from transformers import AutoModelForCausalLM, AutoTokenizer

model = AutoModelForCausalLM.from_pretrained("path/of/this/folder", dtype="auto")
tokenizer = AutoTokenizer.from_pretrained("path/of/this/folder")
```
"""
