"""A share of the rows is held out for evaluation: which rows, their own content decides.

Rows that are equal, or that ask the same, are on one side: otherwise the evaluation would ask what was trained on. As
no row's side depends on any other row, rows that are added or removed move none of those that stay.
"""

from hashlib import blake2b

from msgspec import Struct

from state.errors import ServiceError
from state.rows import row as rows
from state.rows.row import Row


class Split(Struct, frozen=True):
    """One side of a split."""

    share: float
    """Of the rows that are held out, above 0 and below 1: of many, that is. Of few it may be rather more or less."""
    seed: int
    is_held_out: bool = False
    """Which side it is."""

    def takes(self, row: Row) -> bool:
        """Whether a row is on this side."""
        asked = rows.prompt_digest(row) or rows.digest(row)
        place = int.from_bytes(blake2b(asked, digest_size=8, key=str(self.seed).encode()).digest()) / 2**64
        return (place < self.share) is self.is_held_out

    def check(self, name: str, num_held_out: int, num_rows: int) -> None:
        """Raise ServiceError where a side is empty; `name` is what the rows are called in sentences."""
        if 0 < num_held_out < num_rows:
            return
        what, instead = ("none", "a larger share") if num_held_out == 0 else ("all", "a smaller share")
        raise ServiceError(
            f"{name}: validation_split {self.share:g} with seed {self.seed} holds out {what} of {num_rows} rows: their "
            f"content decides, and rows that ask the same stay together. Use {instead}, more rows or another seed, or "
            "give rows for evaluation"
        )
