"""A model as OpenAI's protocol tells of it, with what vLLM adds."""

from typing import Literal

from msgspec import Struct

from runtime.server.answering.listing import Answerer


class Model(Struct):
    """`root` is where its files are: a folder of the data root, or a hub id. `parent` is an adapter's base."""

    id: str
    created: int
    """Unix time; of an adapter, since a base model's is not known."""
    owned_by: str
    root: str
    parent: str | None = None
    object: Literal["model"] = "model"

    @classmethod
    def of(cls, answerer: Answerer) -> "Model":
        owner = "local" if answerer.parent is None else "lathe"
        return cls(answerer.name, answerer.created, owner, answerer.source, answerer.parent)
