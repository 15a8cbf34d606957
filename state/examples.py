"""Training examples on disk: .jsonl files with one object a line, `{"text": "..."}`."""

from pathlib import Path

from msgspec import Struct

from state import store
from state.errors import BrokenFile, ServiceError


class Example(Struct, forbid_unknown_fields=True):
    text: str


def write_new(path: Path, texts: list[str]) -> None:
    """The file of a folder that nobody sees yet."""
    path.write_bytes(store.lines(map(Example, texts)))


def read(path: Path) -> list[str]:
    """The texts in the file's order. Raises FileNotFoundError, or BrokenFile for a bad, empty or absent example."""
    texts = [example.text for example in store.read_lines(path, Example)]
    if not texts:
        raise BrokenFile(path, "holds no examples")
    for number, text in enumerate(texts, start=1):
        if not text.strip():
            raise BrokenFile(path, f"example {number} is empty")
    return texts


def check(field: str, texts: list[str]) -> None:
    """Raise ServiceError for a list without examples or with an empty one."""
    if not texts:
        raise ServiceError(f"{field} must hold at least one text")
    for index, text in enumerate(texts):
        if not text.strip():
            raise ServiceError(f"{field}[{index}] must not be empty")
