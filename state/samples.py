"""samples.jsonl: what the model that is being trained answers to the job's sample prompts, one answer a line."""

from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta, Struct

from state import store

DEFAULT_SAMPLE_TOKENS = 64


class Turn(Struct, forbid_unknown_fields=True, frozen=True):
    """One message of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: str


Prompt = Annotated[str, Meta(min_length=1)] | Annotated[list[Turn], Meta(min_length=1)]
"""A text to continue, or a conversation to answer."""
SamplePrompts = Annotated[list[Prompt], Meta(max_length=8)]
SampleTokens = Annotated[int, Meta(ge=1, le=512)]


class Sample(Struct, kw_only=True):
    """One line. `step` is the optimizer step after which it was written, 0 for the untrained adapter."""

    step: int
    prompt: Prompt
    answer: str
    finish_reason: Literal["stop", "length"]
    """"length" where `sample_tokens` ended it."""


def append(path: Path, sample: Sample) -> None:
    store.append_line(path, sample)


def read(path: Path) -> list[Sample]:
    """All samples; none where the run has written none yet."""
    try:
        return list(store.read_intact_lines(path, Sample))
    except FileNotFoundError:
        return []


def rewind(path: Path, step: int) -> None:
    """Forget what was written after `step`: a resumed run writes it anew."""
    if path.exists():
        store.write_lines(path, [sample for sample in read(path) if sample.step <= step])
