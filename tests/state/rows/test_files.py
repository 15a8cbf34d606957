"""Files of every kind are read row by row, with the line that each row begins on."""

import csv
import gzip
import io
import json
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from state.errors import ServiceError
from state.rows import json_values, tables
from state.rows.files import Source
from state.rows.problems import Wrong
from tests.row_files import report_on

ROW = {"text": 'Grüße, "Welt"\n{[}]'}


def _rows(file: Path, content: bytes | str) -> list[tuple[int, object]]:
    """Each row's line with its object, or with the sentence of what is wrong."""
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return [(line, f"{row.id}: {row}" if isinstance(row, Wrong) else row) for line, row in Source(file).rows()]


def _csv(*rows: list[str]) -> str:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "lines"),
    [
        ("a.jsonl", f"{json.dumps(ROW)}\n{json.dumps(ROW)}\n", [1, 2]),
        ("a.ndjson", f"{json.dumps(ROW)}\n\n  \n{json.dumps(ROW)}", [1, 4]),
        ("a.JSONL", f"\ufeff{json.dumps(ROW)}\r\n\r\n{json.dumps(ROW)}\r\n", [1, 3]),
        ("a.json", json.dumps([ROW, ROW]), [1, 1]),
        ("a.json", "\ufeff" + json.dumps([ROW, ROW], indent=2), [2, 5]),
        ("a.json", f"\n[\n{json.dumps(ROW)}\n,\n\n{json.dumps(ROW)}]\n", [3, 6]),
        ("a.json", json.dumps({"version": "1[", "data": [ROW, ROW], "more": {"a": [1]}}, indent=1), [4, 7]),
        ("a.json", json.dumps({"Train": [ROW, ROW]}), [1, 1]),
        ("a.json", json.dumps({"rows": [ROW, ROW], "examples": 2}), [1, 1]),
        ("a.json", json.dumps({"examples": [ROW, ROW]}), [1, 1]),
        ("a.json", f"{json.dumps(ROW)}\n{json.dumps(ROW)}\n", [1, 2]),
        ("a.json", f"\ufeff\n{json.dumps(ROW)}\n\n{json.dumps(ROW)}", [2, 4]),
        ("a.csv", _csv(["text"], [ROW["text"]], [ROW["text"]]), [2, 4]),
        ("a.csv", "\ufeff" + _csv(["Unnamed: 0", "text"], ["0", ROW["text"]], [], ["1", ROW["text"]]), [2, 5]),
        ("a.csv", _csv(["", "text"], ["0", ROW["text"]], ["1", ROW["text"]]), [2, 4]),
    ],
)
def test_rows_come_with_the_line_that_they_begin_on(tmp_path: Path, name: str, content: str, lines: list[int]) -> None:
    plain = _rows(tmp_path / name, content)
    packed = _rows(tmp_path / f"{name}.gz", gzip.compress(content.encode()))

    assert plain == packed == [(line, ROW) for line in lines]


def test_lines_and_blank_lines_are_counted(tmp_path: Path) -> None:
    counts = {}
    for name, content in {
        "a.jsonl": '\n{"a": 1}\n \n\n',
        "a.json": "[\n1,\n2\n]\n",
        "a.csv": 'a\n\n"x\ny"\n\n',
    }.items():
        (tmp_path / name).write_text(content)
        source = Source(tmp_path / name)
        list(source.rows())
        counts[name] = (source.lines, source.blank_lines)

    assert counts == {"a.jsonl": (4, 3), "a.json": (5, 0), "a.csv": (5, 2)}


WRONG_ROWS = [
    ("a.jsonl", '{"a": 1}\n{"a": 1},\n{"a": 2}', 2, "malformed_json: is not JSON: a comma stands behind the object"),
    (
        "a.jsonl",
        '{"a": 1}\n[\n{"a": 2}',
        2,
        "malformed_json: is not JSON: each line must be a whole object; if the file",
    ),
    (
        "a.jsonl",
        '{"a": 1}\n{\'a\': 1}\n{"a": 2}',
        2,
        "malformed_json: is not JSON: it is a Python literal; write rows with",
    ),
    ("a.jsonl", '{"a": 1}\n{"a": None}\n{"a": 2}', 2, "malformed_json: is not JSON: it is a Python literal"),
    (
        "a.jsonl",
        '{"a": 1}\n{"a": NaN}\n{"a": 2}',
        2,
        "malformed_json: is not JSON: JSON has no NaN and no Infinity; write",
    ),
    (
        "a.jsonl",
        '{"a": 1}\n{"a": 1}{"b": 1}\n{"a": 2}',
        2,
        "malformed_json: is not JSON: several objects stand in one line",
    ),
    ("a.jsonl", '{"a": 1}\n{"a": 1,}\n{"a": 2}', 2, "malformed_json: is not JSON: a comma stands before the closing"),
    (
        "a.jsonl",
        '{"a": 1}\nHello!\n{"a": 2}',
        2,
        'malformed_json: is not JSON: it is bare text; write {"text": "..."} in',
    ),
    ("a.jsonl", '{"a": 1}\n{"a": "b\n{"a": 2}', 2, "malformed_json: is not JSON: "),
    ("a.jsonl", '{"a": 1}\n{"a": {"b": 1}\n{"a": 2}', 2, "malformed_json: is not JSON: it ends in the middle"),
    (
        "a.jsonl",
        '{"a": 1}\n{"a": "\\ud83d!"}\n{"a": "\\ud83d\\ude00"}',
        2,
        "malformed_json: is not JSON: it has half of a character",
    ),
    ("a.jsonl", b'{"a": 1}\n{"a": "\xe9"}\n{"a": 2}', 2, "invalid_utf8: is not UTF-8: "),
    ("a.jsonl", b'{"a": 1}\n' + b"[" * 9_999 + b'\n{"a": 2}', 2, "too_deep: has more lists in lists than can be read"),
    ("a.json", '[{"a": 1},\n{"a": NaN},\n{"a": 2}]', 2, "malformed_json: is not JSON: JSON has no NaN"),
    ("a.json", '[{"a": 1},\n{"a" 1},\n{"a": 2}]', 2, "malformed_json: is not JSON: "),
    ("a.json", b'[{"a": 1},\n{"a": "\xe9"},\n{"a": 2}]', 2, "invalid_utf8: is not UTF-8"),
    ("a.csv", 'a,b\n1,2\n3,"x "y" z"\n5,6\n', 3, 'malformed_csv: a quote stands inside a quoted cell: double it, ""'),
    ("a.csv", "a,b\n1,2\n3\n5,6\n", 3, "ragged_row: has 1 cell, but the header has 2: put cells that hold commas"),
    ("a.csv", 'a,b\n1,2\n3,4,"5\n6"\n7,8\n', 3, "ragged_row: has 3 cells, but the header has 2"),
    (
        "a.csv",
        b'a,b\n1,2\n"x\n\xe9",3\n7,8\n',
        3,
        "invalid_utf8: line 4 is not UTF-8: save the file as UTF-8 (in Excel,",
    ),
]


@pytest.mark.parametrize(("name", "content", "line", "words"), WRONG_ROWS, ids=[each[3] for each in WRONG_ROWS])
def test_a_wrong_row_is_told_by_its_line_and_the_next_one_is_read(
    tmp_path: Path, name: str, content: bytes | str, line: int, words: str
) -> None:
    first, wrong, last = _rows(tmp_path / name, content)

    assert wrong[0] == line
    assert str(wrong[1]).startswith(words)
    assert not isinstance(first[1], str)
    assert not isinstance(last[1], str)


ENDS = [
    (
        "a.json",
        '[{"a": 1},\n{"a": 2',
        2,
        "broken_file: the file ends in the middle of this row: it was cut off, or misses",
    ),
    ("a.json", '[{"a": 1},\n{"a": "2}]', 2, "broken_file: the file ends in the middle of this row"),
    ("a.json", '[{"a": 1},\n"2', 2, "broken_file: ends in the middle of a text"),
    ("a.json", '[{"a": 1}\n', 2, "broken_file: the list of rows is never closed: the file was cut off"),
    ("a.json", '[{"a": 1}\n{"a": 2}]', 2, "broken_file: a comma is missing here"),
    ("a.json", '[{"a": 1},\n]', 2, "malformed_json: is not JSON: a comma stands before the end of the list; remove it"),
    ("a.json", '[{"a": 1}]\n[{"a": 2}]', 2, "broken_file: something follows the end of the list: remove it"),
    (
        "a.json",
        '{"data": [{"a": 1}],\n"train": [{"a": 2}]}',
        2,
        "broken_file: 'train' is a second list of rows: write one",
    ),
    ("a.json", '{"data": [{"a": 1}],\n"b" 1}', 2, "broken_file: a colon is missing here"),
    ("a.json", '{"data": [{"a": 1}],\n"b": 1', 2, "broken_file: the object is never closed"),
    ("a.csv", 'a,b\n1,2\n"3,4\n5,6\n', 3, "malformed_csv: a quote is opened in this row and never closed: close it"),
]


@pytest.mark.parametrize(("name", "content", "line", "words"), ENDS, ids=[each[3] for each in ENDS])
def test_what_cannot_be_read_on_is_told_behind_the_rows_before_it(
    tmp_path: Path, name: str, content: str, line: int, words: str
) -> None:
    _first, wrong = _rows(tmp_path / name, content)

    assert wrong[0] == line
    assert str(wrong[1]).startswith(words)


def test_an_object_without_a_list_of_rows_is_told(tmp_path: Path) -> None:
    [(_, words)] = _rows(tmp_path / "about.json", json.dumps({"name": "chats", "rows": 7}, indent=1))

    assert str(words).endswith(
        "without a list of rows: write a list, or keep it under one of data, train, rows, examples"
    )


@pytest.mark.parametrize("kind", ["jsonl", "json", "csv"])
def test_a_gzip_file_that_was_cut_off_gives_the_rows_before_and_says_so(tmp_path: Path, kind: str) -> None:
    content = {
        "jsonl": "".join(f'{{"text": "{n}"}}\n' for n in range(99_999)),
        "json": json.dumps([{"text": str(n)} for n in range(99_999)]),
        "csv": "text\n" + "".join(f"{n}\n" for n in range(99_999)),
    }[kind]

    *before, (_line, wrong) = _rows(tmp_path / f"a.{kind}.gz", gzip.compress(content.encode())[:-9])

    assert before[0][1] == {"text": "0"}
    assert str(wrong).startswith("broken_file: the .gz file was cut off or damaged")


REFUSED = [
    (
        "a.xlsx",
        b"PK\x03\x04",
        "a.xlsx is no kind of file that Lathe reads: save it as .jsonl, .ndjson, .json, .csv, .parquet",
    ),
    ("a.parquet.gz", b"PAR1", "all but .parquet also with .gz"),
    ("a.jsonl", b"", "a.jsonl is empty"),
    ("a.jsonl", gzip.compress(b"{}"), "a.jsonl is compressed by gzip: name it with .gz at the end"),
    ("a.jsonl.gz", b'{"text": "Hi"}', "a.jsonl.gz is not compressed by gzip: take .gz off its name"),
    ("a.jsonl", b"PAR1", "a.jsonl is Parquet: name it by what it is"),
    ("a.parquet", b'{"text": "Hi"}', "a.parquet is not Parquet: name it by what it is"),
    (
        "a.csv",
        b"PK\x03\x04xl/workbook.xml",
        "a.csv is a ZIP archive or a workbook: unpack it, or save the sheet as CSV",
    ),
    ("a.jsonl", '{"text": "Hi"}'.encode("utf-16"), "a.jsonl is UTF-16: save it as UTF-8"),
    ("a.csv", "text\nHi".encode("utf-16-le"), "a.csv is UTF-16: save it as UTF-8"),
    ("a.json", "[]".encode("utf-16-be"), "a.json is UTF-16: save it as UTF-8"),
    ("a.jsonl", b'[{"text": "Hi"}]', "a.jsonl begins with [, so it is one JSON list, not JSON Lines: name it .json"),
    ("a.json", b"text\nHi", "a.json is not JSON: it begins with 't', not with [ or {"),
    ("a.csv", b'{"text": "Hi"}', "a.csv is JSON, not CSV: name it .jsonl, or .json if it is one list"),
    ("a.csv", b"<!DOCTYPE html><html>", "a.csv is a web page, not data: download the file itself"),
    ("a.json", b"version https://git-lfs.github.com/spec/v1\noid sha256:1", "fetch it with git lfs pull"),
    ("a.parquet", b"version https://git-lfs.github.com/spec/v1\noid sha256:1", "fetch it with git lfs pull"),
    ("a.jsonl", b"ARROW1\x00\x00", "a.jsonl is an Arrow file: save it as Parquet or JSON Lines"),
    ("a.csv", b"prompt;completion\nHi;Hello!\n", "a.csv: its columns are separated by ';': save it with commas"),
    ("a.csv", b"text,text\nHi,Hello!\n", "a.csv: two columns are called 'text': rename one"),
]


@pytest.mark.parametrize(("name", "content", "words"), REFUSED, ids=[each[2] for each in REFUSED])
def test_a_file_that_is_not_what_its_name_says_is_refused(
    tmp_path: Path, name: str, content: bytes, words: str
) -> None:
    with pytest.raises(ServiceError) as refusal:
        _rows(tmp_path / name, content)

    assert words in str(refusal.value)


def test_a_folder_or_nothing_in_a_files_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").mkdir()

    for name in ("a.jsonl", "absent.jsonl"):
        with pytest.raises(ServiceError, match=f"{name} is not a file"):
            Source(tmp_path / name)


def test_a_row_may_reach_over_any_number_of_windows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"text": 'x\\"]}' * length, "deep": [[{"a": [length, None, "[\n"]}]]} for length in range(40)]
    content = json.dumps({"about": "{[", "data": rows, "end": [1, {"a": "\\"}]}, indent=1)

    for chunk in (1, 2, 3, 7, 64, 1000):
        monkeypatch.setattr(json_values, "CHUNK", chunk)
        assert [row for _, row in _rows(tmp_path / "a.json", content)] == rows


@pytest.mark.parametrize(
    ("name", "content", "before", "after"),
    [
        ("a.jsonl", b'{"a": 1}\n{"a": "%s"}\n{"a": 2}\n', 1, 1),
        ("a.json", b'[{"a": 1},\n{"a": "%s"},\n{"a": 2}]', 1, 0),
        ("a.csv", b'a\n1\n"%s"\n2\n', 1, 0),
        ("a.csv", b'a\n1\n"%s\n2\n', 1, 0),
    ],
)
def test_a_row_that_never_ends_is_told_before_memory_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, content: bytes, before: int, after: int
) -> None:
    for module in (json_values, tables, sys.modules[Source.__module__]):
        monkeypatch.setattr(module, "MAX_ROW_BYTES", 5_000)
    monkeypatch.setattr(json_values, "CHUNK", 1_000)

    rows = _rows(tmp_path / name, content % (b"x" * 20_000))

    assert len(rows) == before + 1 + after
    assert str(rows[before][1]).startswith("row_too_large: is larger than ")
    assert rows[before][0] == (3 if name == "a.csv" else 2)


@pytest.fixture
def parquet() -> Any:
    return pytest.importorskip("pyarrow.parquet", reason="reads Parquet: pip install pyarrow")


def test_parquet_gives_rows_without_the_nulls_that_other_rows_make(tmp_path: Path, parquet: Any) -> None:
    from pyarrow import Table  # noqa: PLC0415  absent without the extra

    rows = [
        {"messages": [{"role": "user", "content": "Hi", "calls": None}], "note": None},
        {"messages": [{"role": "assistant", "content": None, "calls": [{"a": 1, "b": None}, {"b": "x"}]}], "note": "n"},
    ]
    parquet.write_table(Table.from_pylist(rows), tmp_path / "a.parquet", row_group_size=1)

    assert list(Source(tmp_path / "a.parquet").rows()) == [
        (1, {"messages": [{"role": "user", "content": "Hi"}]}),
        (2, {"messages": [{"role": "assistant", "calls": [{"a": 1}, {"b": "x"}]}], "note": "n"}),
    ]


def test_a_damaged_parquet_file_is_refused(tmp_path: Path, parquet: Any) -> None:
    from pyarrow import Table  # noqa: PLC0415  absent without the extra

    file = tmp_path / "a.parquet"
    parquet.write_table(Table.from_pylist([{"text": "Hi"}]), file)

    with pytest.raises(ServiceError, match=r"a\.parquet is damaged, or not Parquet: "):
        _rows(file, file.read_bytes()[:-9])


def test_without_pyarrow_parquet_is_refused_with_the_command_that_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)

    with pytest.raises(ServiceError) as refusal:
        _rows(tmp_path / "a.parquet", b"PAR1")

    assert str(refusal.value) == (
        "a.parquet: reading Parquet needs pyarrow. Run .venv/bin/python -m pip install --constraint constraints.txt "
        "--editable '.[parquet]' in Lathe's folder, or save the data as JSON Lines"
    )


@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.csv", "a.jsonl.gz"])
def test_memory_stays_the_same_however_large_the_file(tmp_path: Path, name: str) -> None:
    """60 MB of rows are read in a few: the window, and a row."""
    row = json.dumps({"text": "word " * 1_500})
    head, block, tail = {
        "a.json": ("[\n", f"{row},\n", f"{row}]\n"),
        "a.csv": ("text\n", "word " * 1_500 + "\n", ""),
    }.get(name, ("", f"{row}\n", ""))
    with gzip.open(tmp_path / name, "wt", 1) if name.endswith(".gz") else (tmp_path / name).open("w") as file:
        file.write(head)
        for _ in range(80):
            file.write(block * 100)
        file.write(tail)

    tracemalloc.start()
    report = report_on(tmp_path / name)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert report.used >= 8_000
    assert peak < 6 * 2**20
