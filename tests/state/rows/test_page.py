"""docs/data.md says what the reader does."""

import json
import re
from pathlib import Path
from typing import get_args

import pytest

from state.rows import files, formats, problems, reading, turns
from state.rows.json_values import LISTS, MAX_ROW_BYTES
from state.rows.tables import INSTALL
from state.rows.values import MAX_DEPTH
from tests.row_files import report_on
from tests.server import CHECKOUT

PAGE = (CHECKOUT / "docs" / "data.md").read_text()
SECTIONS = dict(re.findall(r"^### (\w+)\n(.*?)(?=^##)", PAGE, flags=re.DOTALL | re.MULTILINE))


def _table(section: str) -> list[list[str]]:
    """The rows of a section's tables: of each cell the words in code."""
    [text] = re.findall(rf"^## {section}\n(.*?)(?=^## |\Z)", PAGE, flags=re.DOTALL | re.MULTILINE)
    return [line.split("|")[1:-1] for line in text.splitlines() if line.startswith("| ")]


def _words(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


@pytest.mark.parametrize("name", [each.name for each in formats.FORMATS])
def test_each_format_has_examples_that_are_read_as_it(tmp_path: Path, name: str) -> None:
    examples = re.findall(r"```json\n(.*?)```", SECTIONS[name], flags=re.DOTALL)

    assert examples
    for example in examples:
        (tmp_path / "a.json").write_text(json.dumps([json.loads(example)]))
        report = report_on(tmp_path / "a.json")
        assert report.files[0].format == name
        assert report.unused_keys == {}


def test_the_table_of_formats_is_the_readers_own() -> None:
    rows = [(_words(cells[0])[0], _words(cells[1])) for cells in _table("How a format is told") if _words(cells[0])]

    assert rows == [(each.name, [key for group in each.needs for key in group]) for each in formats.FORMATS]


def test_the_tables_of_turns_name_every_key_and_every_role() -> None:
    named = {cells[0].strip(): [word for cell in cells[:2] for word in _words(cell)] for cells in _table("Turns")}
    said = {word for words in named.values() for word in words}

    assert said >= set(turns.KEYS) | set(turns.ROLES) | turns.CALLS | {turns.FUNCTION}
    for role in ("system", "user", "assistant", "tool"):
        assert set(named[f"`{role}`"]) >= {word for word, meant in turns.ROLES.items() if meant == role}


def test_every_problem_is_in_the_table() -> None:
    ids = [_words(cells[0])[0] for cells in _table("Rows that cannot be used") if _words(cells[0])]

    assert ids == list(get_args(problems.ProblemId))


def test_the_page_names_the_files_and_limits_that_the_reader_has() -> None:
    for name in (*files.KINDS, *LISTS, *reading.SIDECARS, *reading.HELD_OUT, INSTALL):
        assert f"`{name}`" in PAGE
    assert f"{MAX_ROW_BYTES // 2**20} MiB" in PAGE
    assert f"more than {MAX_DEPTH} deep" in PAGE
    assert f"first {reading.MOST_PROBLEMS} are kept" in PAGE
