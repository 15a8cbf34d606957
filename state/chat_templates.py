"""Chat templates as they lie in files and in job.json: Jinja, which only the workers run."""

from pathlib import Path
from typing import Annotated

from msgspec import Meta

from state import store
from state.errors import BrokenFile

FILE = "chat_template.jinja"
"""Beside the weights of a model or an adapter: where transformers saves a tokenizer's template."""
MOST = 65_536  # characters; published models' have up to 20,000

Source = Annotated[str, Meta(min_length=1, max_length=MOST)]


def read(folder: Path) -> str | None:
    """A folder's own template; None where it has none, or an empty one. Raises BrokenFile."""
    file = folder / FILE
    try:
        return store.read_bytes(file, most=MOST).decode() or None
    except FileNotFoundError:
        return None
    except UnicodeDecodeError as error:
        raise BrokenFile(file, f"is not UTF-8: {error}") from error
