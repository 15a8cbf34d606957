"""Commands about data sets."""

import json
from pathlib import Path

from tests.cli.conftest import Lathe
from tests.server import Server

GOOD = '{"prompt": "2 + 3?", "completion": "5"}\n'


def test_a_file_is_checked_line_by_line_without_a_server(lathe_alone: Lathe, tmp_path: Path) -> None:
    (tmp_path / "good.jsonl").write_text(GOOD)
    (tmp_path / "bad.jsonl").write_text(GOOD + "\nnot json\n")

    good, bad = (
        lathe_alone("data", "check", "good.jsonl"),
        lathe_alone("data", "check", "-", stdin=GOOD + "\nno json\n"),
    )

    assert (good.code, good.out) == (0, "good.jsonl: prompt_completion, 1 of 1 rows are good\n")
    assert (bad.code, bad.out.splitlines()[1].split()[:4]) == (3, ["line", "3", "is", "not"])
    assert json.loads(lathe_alone("data", "check", "bad.jsonl", "--json").out)["num_invalid"] == 1


def test_a_file_that_cannot_be_read_or_is_not_there_is_said_in_one_sentence(
    lathe: Lathe, lathe_alone: Lathe, tmp_path: Path
) -> None:
    (tmp_path / "rows.xyz").write_text(GOOD)

    unknown = lathe_alone("data", "check", "rows.xyz")
    alone, missing = (one("data", "check", "../none.jsonl") for one in (lathe_alone, lathe))

    assert (unknown.code, unknown.err.partition(":")[0]) == (3, "rows.xyz is no kind of file that Lathe reads")
    assert alone.code == 7
    assert alone.err.startswith("../none.jsonl is no file here. No server answers at http://localhost:1")
    assert (missing.code, missing.err) == (4, "../none.jsonl is neither a file here nor a data set of the server\n")


def test_a_data_set_is_uploaded_listed_shown_and_removed(queueing: Server, lathe: Lathe, tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text(GOOD)

    sent = lathe("data", "upload", "rows.jsonl", "by-command")
    held_out = lathe("data", "upload", "-", "by-command", "--eval", stdin=GOOD)
    listed = [row for row in lathe("data").cells if row[0] == "by-command"]
    shown = lathe("data", "show", "by-command", "--json")
    checked = lathe("data", "check", "by-command")

    assert (sent.code, sent.out) == (0, "by-command\t1 rows\tprompt_completion\t0 left out\n")
    assert held_out.code == 0
    assert listed[0][1:4] == ["prompt_completion", "1", "0"]
    assert shown.out.encode() == queueing.get("/training/data/by-command").content + b"\n"
    assert (checked.code, checked.out) == (0, "by-command: prompt_completion, 1 of 1 rows are good\n")
    assert lathe("data", "rm", "by-command").code == 0
    assert lathe("data", "show", "by-command").code == 4
