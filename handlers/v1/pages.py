"""Pages of a list in OpenAI's protocol. Its clients ask for the next one until `has_more` is false."""

from collections.abc import Sequence
from typing import Generic, Protocol, TypeVar

from msgspec import Struct

from state.errors import ServiceError


class Identified(Protocol):
    @property
    def id(self) -> str: ...


Item = TypeVar("Item", bound=Identified)


class Page(Struct, Generic[Item], frozen=True):
    items: list[Item]
    has_more: bool

    @property
    def first_id(self) -> str | None:
        return self.items[0].id if self.items else None

    @property
    def last_id(self) -> str | None:
        return self.items[-1].id if self.items else None


def page(items: Sequence[Item], after: str | None, limit: int) -> Page[Item]:
    """At most `limit` of the items that come after the one of this id, and whether there are more.

    Raises ServiceError for an id that is not among them.
    """
    first = 0
    if after is not None:
        ids = [item.id for item in items]
        if after not in ids:
            raise ServiceError(f"after: there is no {after} here: begin again without it", param="after")
        first = ids.index(after) + 1
    return Page(list(items[first : first + limit]), len(items) > first + limit)
