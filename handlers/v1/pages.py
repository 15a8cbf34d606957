"""Pages of a list in OpenAI's protocol. Its clients ask for the next one until `has_more` is false."""

from collections.abc import Sequence
from typing import Protocol, TypeVar

from state.errors import ServiceError


class Identified(Protocol):
    id: str


Item = TypeVar("Item", bound=Identified)


def page(items: Sequence[Item], after: str | None, limit: int) -> tuple[list[Item], bool]:
    """At most `limit` of the items that come after the one of this id, and whether there are more.

    Raises ServiceError for an id that is not among them.
    """
    first = 0
    if after is not None:
        ids = [item.id for item in items]
        if after not in ids:
            raise ServiceError(f"after: there is no {after} here: begin again without it")
        first = ids.index(after) + 1
    return list(items[first : first + limit]), len(items) > first + limit
