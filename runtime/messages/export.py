"""What the server asks of `python -m runtime.export`, and what that answers: a line of JSON each."""

from typing import Literal

from msgspec import Struct

from state.adapters import ChatSettings

Format = Literal["merged", "gguf", "gguf-lora"]
BareBase = Literal["gguf-base"]
"""A base model by itself, rounded to 4 bits: what Lathe's own llama.cpp serves."""


class Order(Struct, frozen=True):
    """`source` is the base, as transformers loads it; `target` the folder that is to appear."""

    adapter: str | None
    """Its folder; None for a BareBase."""
    model_name: str
    source: str
    format: Format | BareBase
    target: str
    chat: ChatSettings = ChatSettings()
    """How Lathe asks the adapter."""


class Made(Struct, frozen=True):
    """The folder has appeared."""
