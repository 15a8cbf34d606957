"""What job.json keeps of a job for OpenAI's view of it alone. All else in that view is what any job has."""

from typing import Annotated

from msgspec import Meta, Struct

Metadata = Annotated[
    dict[Annotated[str, Meta(max_length=64)], Annotated[str, Meta(max_length=512)]], Meta(max_length=16)
]
Suffix = Annotated[str, Meta(min_length=1, max_length=64)]


class OpenAIView(Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """The field `openai` of job.json."""

    suffix: Suffix | None = None
    """A part of the adapter's name."""
    metadata: Metadata | None = None
    request_sha256: str | None = None
    """Of the request, by which one that is sent again finds the job that the first one made."""
