"""A file or a folder becomes rows and a report; wrong rows end it, or are skipped and counted."""

import gzip
import hashlib
import json
from pathlib import Path

import pytest

from state.errors import ServiceError
from state.rows import reading
from state.rows.reading import Numbered, Reading
from state.rows.row import Chat, Message, Text
from tests.row_files import report_on

GOOD = '{"text": "Hi"}\n'
CHAT = '{"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello!"}]}\n'
ALPACA = '[{"instruction": "Hi", "output": "Hello!", "id": 1}]'
PAIR = '{"prompt": "Hi", "chosen": "Hello!", "rejected": "No."}\n'


def _folder(root: Path, **files: str) -> Path:
    folder = root / "set"
    folder.mkdir()
    for name, content in files.items():
        (folder / name.replace("__", ".")).write_text(content)
    return folder


def test_a_file_is_read_with_a_report(tmp_path: Path) -> None:
    file = tmp_path / "chats.jsonl"
    file.write_text(f'\n{GOOD}{{"Text": "Yo", "id": 7, "id2": 8}}\n\n{{"text": "Hey", "id": 9}}')

    read = Reading(file)
    rows = list(read.rows())

    assert rows == [
        Numbered(file.name, 2, 1, Text("Hi")),
        Numbered(file.name, 3, 2, Text("Yo"), {"id": 7, "id2": 8}),
        Numbered(file.name, 5, 3, Text("Hey"), {"id": 9}),
    ]
    [about] = read.report.files
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    assert about == reading.FileReport(
        name="chats.jsonl",
        kind="jsonl",
        bytes=file.stat().st_size,
        sha256=sha256,
        lines=5,
        blank_lines=2,
        format="text",
        detected_by="key 'text'",
        detected_on=2,
        used=3,
        bad=0,
    )
    assert read.report == reading.Report(
        files=[about], row_kind="text", total=3, used=3, unused_keys={"id": 2, "id2": 1}, sha256=sha256
    )


def test_wrong_rows_end_the_reading_with_the_first_of_them_and_how_many_there_are(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text(GOOD + '{"text": 1}\n' + "{}\n" * 3 + GOOD)
    read = Reading(file)

    with pytest.raises(ServiceError) as refusal:
        list(read.rows())

    assert str(refusal.value) == (
        "a.jsonl line 2, text: must be a text, but is 1: put it in quotes. 4 of 6 rows cannot be used "
        "(3 unknown_format, 1 wrong_type): mend them, or leave them out with skip_invalid: true"
    )
    assert (read.report.total, read.report.used, read.report.bad) == (6, 2, 4)


def test_wrong_rows_of_one_line_are_told_apart(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_text(json.dumps([{"text": "Hi"}, {"text": 1}, {"text": 2}]))
    read = Reading(file, skip_invalid=True)

    list(read.rows())

    assert [(problem.line, problem.row) for problem in read.report.problems] == [(1, 2), (1, 3)]
    assert str(read.report.problems[0]).startswith("a.json line 1 (row 2), text: must be a text")


def test_wrong_rows_are_skipped_on_request_and_counted(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text("{\n" * 120 + GOOD + "{}\n")
    read = Reading(file, skip_invalid=True)

    rows = list(read.rows())

    assert rows == [Numbered("a.jsonl", 121, 121, Text("Hi"))]
    assert read.report.problem_counts == {"malformed_json": 120, "unknown_format": 1}
    assert [problem.line for problem in read.report.problems] == list(range(1, 51))
    assert (read.report.total, read.report.used, read.report.bad) == (122, 1, 121)


def test_a_file_without_a_row_that_can_be_used_is_refused_also_when_wrong_rows_are_skipped(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("{}\n")
    (tmp_path / "b.csv").write_text("text\n\n")
    (tmp_path / "c.json").write_text(" []\n")

    for name, words in {
        "a.jsonl": r"a\.jsonl line 1: no format has no keys.*\. No row can be used \(1 unknown_format\)",
        "b.csv": r"b\.csv: no rows",
        "c.json": r"c\.json: no rows",
    }.items():
        with pytest.raises(ServiceError, match=words):
            report_on(tmp_path / name, skip_invalid=True)


def test_a_folder_is_read_in_the_order_of_names_without_descriptions_and_evaluation_data(tmp_path: Path) -> None:
    folder = _folder(
        tmp_path,
        b__json=ALPACA,
        **{"train-00000-of-00002__jsonl": CHAT},
        eval__jsonl=CHAT,
        **{"test-00000-of-00001__jsonl": CHAT},
        validation__csv="text\nHi\n",
        README__md="#",
        dataset__json="{}",
        dataset_info__json="{}",
        __hidden__jsonl="{}",
    )
    (folder / "c.json.gz").write_bytes(gzip.compress(ALPACA.encode()))
    (folder / "sub").mkdir()
    row = Chat((Message("user", "Hi"), Message("assistant", "Hello!")))

    read = Reading(folder)
    rows = list(read.rows())

    others: dict[str, dict[str, object]] = {
        "b.json": {"id": 1},
        "c.json.gz": {"id": 1},
        "train-00000-of-00002.jsonl": {},
    }
    assert rows == [Numbered(name, 1, 1, row, further) for name, further in others.items()]
    assert [file.format for file in read.report.files] == ["alpaca", "alpaca", "chat"]
    assert read.report.ignored_files == [
        *("README.md", "dataset.json", "dataset_info.json", "eval.jsonl", "test-00000-of-00001.jsonl"),
        "validation.csv",
    ]
    assert read.report.row_kind == "chat"
    assert read.report.unused_keys == {"id": 2}


def test_the_hash_of_a_folder_changes_with_every_files_content(tmp_path: Path) -> None:
    folder = _folder(tmp_path, a__jsonl=CHAT, b__jsonl=CHAT)
    before = report_on(folder).sha256
    again = report_on(folder).sha256

    (folder / "b.jsonl").write_text(CHAT + "\n")

    assert before == again != report_on(folder).sha256


def test_files_of_a_folder_that_become_different_kinds_of_rows_are_told(tmp_path: Path) -> None:
    folder = _folder(tmp_path, a__jsonl=CHAT, b__jsonl=PAIR * 2, c__json=ALPACA)
    read = Reading(folder, skip_invalid=True)

    rows = list(read.rows())

    assert [row.file for row in rows] == ["a.jsonl", "c.json"]
    assert read.report.problem_counts == {"mixed_formats": 2}
    assert str(read.report.problems[0]) == (
        "b.jsonl line 1: makes a preference row, but those of a.jsonl are chat: make a data set for each"
    )


def test_a_folder_without_data_is_refused(tmp_path: Path) -> None:
    folder = _folder(tmp_path, eval__jsonl=CHAT, notes__txt="")

    with pytest.raises(
        ServiceError, match=r"set holds no data: put a \.jsonl, \.json, \.csv or \.parquet file into it"
    ):
        Reading(folder)


def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text(GOOD * 2)
    rows = Reading(file).rows()
    next(rows)

    file.write_text(GOOD * 3)

    with pytest.raises(ServiceError, match=r"a\.jsonl was changed while it was read: try again"):
        list(rows)


def test_csv_cells_may_hold_json(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text('messages,tools\n"' + json.dumps(json.loads(CHAT)["messages"]).replace('"', '""') + '",\n')

    [row] = Reading(file).rows()

    assert row.row == Chat((Message("user", "Hi"), Message("assistant", "Hello!")))


def test_every_row_comes_in_its_order_with_what_is_wrong_in_the_place_of_a_wrong_one(tmp_path: Path) -> None:
    folder = _folder(tmp_path, a__jsonl=GOOD + "{\n" + GOOD, b__jsonl='{"text": " "}\n' + GOOD, eval__jsonl=GOOD)

    found = list(Reading(folder, skip_invalid=True).every())

    assert [(each.file, each.line, getattr(each, "id", None)) for each in found] == [
        ("a.jsonl", 1, None),
        ("a.jsonl", 2, "malformed_json"),
        ("a.jsonl", 3, None),
        ("b.jsonl", 1, "empty_text"),
        ("b.jsonl", 2, None),
    ]
    assert reading.held_out_files(folder) == [folder / "eval.jsonl"]
