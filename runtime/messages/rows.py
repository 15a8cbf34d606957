"""What both of a data set's questions name: its rows, and the model that would be trained on them."""

from msgspec import Struct

from state.config import Learn
from state.row_source import RowSource


class Subject(Struct, frozen=True, kw_only=True):
    root: str
    rows: RowSource
    """Of a data set's folder."""
    model_name: str
    learn: Learn | None


class Line(Struct, frozen=True, kw_only=True):
    """Where a row stands in the user's files."""

    file: str
    line: int
    """On which the row begins, from 1; of a Parquet file, the row's number."""
    row: int
    """The row's number in its file, from 1: it tells rows apart that stand on one line."""
