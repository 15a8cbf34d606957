"""The texts of a file of rows, for tools that take nothing else."""

from pathlib import Path

from state.row_source import RowSource
from state.rows.row import Text


def texts_of(file: Path) -> list[str]:
    return [row.text for _, row in RowSource(file.name, str(file)).rows() if isinstance(row, Text)]
