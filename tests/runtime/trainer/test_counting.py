"""While rows are tokenized, a job tells how far it is, and can be stopped at once."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime.trainer import counting
from state.row_source import RowSource
from tests import jobs
from tests.server import PATIENCE_S, wait_until


@pytest.mark.parametrize(
    ("total", "told"),
    [
        (40, ["Reading: 0 of 40 rows", "Reading: 20 of 40 rows, 20 rows/s, 00:01 left"]),
        (30, ["Reading: 0 of 30 rows", "Reading: 20 of 30 rows, 20 rows/s, 00:00 left"]),
        (None, ["Reading: 0 rows", "Reading: 20 rows, 20 rows/s"]),
    ],
)
def test_it_is_told_now_and_then_how_many_are_done_and_how_long_the_rest_takes(
    monkeypatch: pytest.MonkeyPatch, total: int | None, told: list[str]
) -> None:
    now = 0.0

    def rows() -> Iterator[int]:
        nonlocal now
        for number in range(39):
            now = (number + 1) / 20  # seconds
            yield number

    said: list[str] = []
    monkeypatch.setattr(time, "monotonic", lambda: now)

    assert list(counting.counted(rows(), "Reading", total, said.append)) == [*range(39)]
    assert said == told


def test_about_how_many_rows_there_are(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"text": "a"}\n{"text": "b"}\n')

    assert RowSource("rows", str(tmp_path / "rows.jsonl")).num_lines() == 2
    assert RowSource("texts", texts=["a", "b", "c"]).num_lines() == 3
    assert RowSource("rows", str(tmp_path)).num_lines() is None


def test_a_job_is_stopped_while_it_tokenizes(tmp_path: Path, toy: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "toy").symlink_to(toy)
    folder = jobs.make(tmp_path)
    process = jobs.launch(folder, "tests.stuck_trainer", "tokenizing")
    wait_until(lambda: (jobs.status(folder).message or "").startswith("Tokenizing train.jsonl: "), "it tokenizes")

    folder.stop_file.touch()
    output, _ = process.communicate(timeout=PATIENCE_S)

    status = jobs.status(folder)
    assert (process.returncode, status.status, status.message) == (130, "cancelled", None), output
    assert not (folder.tokens / "train").exists()

    folder.stop_file.unlink()
    jobs.train_here(folder)
    assert [path.name for path in folder.tokens.iterdir()] == ["train"]
    assert jobs.status(folder).message is None
