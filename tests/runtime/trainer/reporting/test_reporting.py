"""A job's figures elsewhere (`report_to`): told once, in order, to one run, whatever becomes of the trainer."""

import json
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tensorboardX.proto.event_pb2 import Event

from runtime.trainer import reports as trainers_side
from runtime.trainer.attempt import Attempt
from runtime.trainer.reports import Reports
from state import locks, metrics, report_to, store
from state.jobs import JobFolder, Status, read_job
from state.metrics import Point
from state.report_to import Told, Tool
from tests import jobs
from tests.reporting import StandIns
from tests.server import CHECKOUT, PATIENCE_S, wait_until

WANDB = {"type": "wandb", "project": "p", "name": "n", "entity": "e", "tags": ["t"]}


@pytest.fixture(autouse=True)
def _patient_trainer(monkeypatch: pytest.MonkeyPatch) -> None:
    """At its end it waits for the last figures, however slow the machine is."""
    monkeypatch.setattr(trainers_side, "LAST_S", PATIENCE_S)


def _line(step: int, **figures: Any) -> Point:
    return Point(step=step, epoch=step / 4, loss=3.0 - step / 10, tokens=8, elapsed_s=1.0, **figures)


def _evaluation(step: int) -> Point:
    return Point(step=step, epoch=step / 4, eval_loss=2.5, eval_token_accuracy=0.5)


def _told(calls: list[list[Any]]) -> list[tuple[int, float]]:
    """Step and loss, in the order in which they came."""
    logged = [call[1] for call in calls if call[0] == "log"]
    return [
        (figures["step"], figures[name])
        for figures in logged
        for name in ("train/loss", "eval/loss")
        if name in figures
    ]


def _is_told(folder: JobFolder, tool: Tool, step: int) -> bool:
    told = report_to.told(folder.reports, tool)
    assert told.problem is None
    return told.step == step


def _start(folder: JobFolder, tool: Tool) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "runtime.trainer.reporting", str(folder.path), tool]
    return subprocess.Popen(command, cwd=CHECKOUT, stdin=subprocess.PIPE)


def _end(process: "subprocess.Popen[bytes]", said: bytes = b"") -> int:
    """The trainer's end, which says nothing where it is killed."""
    process.communicate(said, timeout=PATIENCE_S)
    return process.returncode


@pytest.mark.parametrize(
    ("tool", "report", "began", "ended"),
    [
        ("wandb", WANDB, ["n", "p", "e", ["t"], "allow"], [["finish", 0], ["finish", 0]]),
        ("mlflow", "mlflow", ["run-1", "RUNNING"], [["finish", "run-1", "SCHEDULED"], ["finish", "run-1", "FINISHED"]]),
        ("trackio", {"type": "trackio", "name": "n"}, ["n-toy", "lathe", "allow"], [["finish"], ["finish"]]),
    ],
)
def test_a_resumed_job_goes_on_with_its_run_and_tells_nothing_twice(
    tmp_path: Path, stand_ins: StandIns, tool: Tool, report: object, began: list[object], ended: list[list[object]]
) -> None:
    """Its trainer was killed, and its curve rewound; what the killed one told is not told again."""
    folder = jobs.make(tmp_path / "root", report_to=[report])
    folder.reports.mkdir()
    store.write_lines(folder.metrics_file, [_line(1), _line(2), _evaluation(2)])
    killed = _start(folder, tool)
    wait_until(lambda: _is_told(folder, tool, 2), "the first figures are told")
    metrics.append(folder.metrics_file, _line(3))
    assert _end(killed) == 0

    metrics.rewind(folder.metrics_file, 2)
    resumed = _start(folder, tool)
    for point in (_line(3), _line(4), _evaluation(4)):
        metrics.append(folder.metrics_file, point)
    assert _end(resumed, b"completed") == 0

    calls: list[list[Any]] = stand_ins.calls()
    assert _told(calls) == [(1, 2.9), (2, 2.8), (2, 2.5), (3, 2.7), (4, 2.6), (4, 2.5)]
    assert [call[:-1] for call in calls if call[0] == "finish"] == ended
    begun = [call for call in calls if call[0] in {"init", "update_run"}]
    assert len(begun) == 2
    assert begun[0] == begun[1]  # by the same id
    numbers = [call[2]["number"] for call in calls if call[0] == "log" and tool == "wandb"]
    assert numbers == sorted(set(numbers))  # which wandb would leave lines out for, or put them in the place of others
    words = json.dumps(begun[0])
    assert all(json.dumps(word) in words for word in began)


def test_what_a_tool_raises_is_told_and_tried_again_when_the_trainer_has_ended(
    tmp_path: Path, stand_ins: StandIns
) -> None:
    folder = jobs.make(tmp_path / "root", report_to=["wandb"])
    folder.reports.mkdir()
    store.write_lines(folder.metrics_file, [_line(1)])
    store.write(folder.status_file, Status(status="cancelled"))
    source = (stand_ins.folder / "wandb.py").read_text()
    stand_ins.break_wandb()
    process = _start(folder, "wandb")
    wait_until(lambda: report_to.told(folder.reports, "wandb").problem is not None, "the problem is told")
    assert report_to.told(folder.reports, "wandb").problem == "wandb: the host is unreachable"

    (stand_ins.folder / "wandb.py").write_text(source)
    second = _start(folder, "wandb")  # of another trainer, which waits for the first one's end
    assert (_end(process), _end(second)) == (1, 0)

    assert report_to.told(folder.reports, "wandb").problem is None
    assert _told(stand_ins.calls()) == [(1, 2.9)]
    assert [call[1] for call in stand_ins.calls() if call[0] == "finish"] == [1]


@pytest.mark.parametrize("is_seen", [False, True])
def test_a_training_does_not_end_for_a_folder_of_reports_that_is_gone(
    tmp_path: Path, stand_ins: StandIns, *, is_seen: bool
) -> None:
    """`is_seen`: the trainer sees before its own end that the process has ended for it."""
    folder = jobs.make(tmp_path / "root", report_to=["wandb"])
    store.write_lines(folder.metrics_file, [_line(1)])
    attempt = Attempt(folder)
    reports = Reports(attempt, read_job(folder))
    reports.start()
    wait_until(lambda: _is_told(folder, "wandb", 1), "the first figures are told")
    with locks.hold(folder.reports / "wandb.json.lock", PATIENCE_S):  # its process has done writing that
        shutil.rmtree(folder.reports)
        folder.reports.write_text("no folder")

    reports.look()
    metrics.append(folder.metrics_file, _line(2))
    if is_seen:
        [telling] = reports._telling
        wait_until(lambda: telling.process.poll() is not None, "its process has ended")
        reports.look()
    reports.finish()

    assert attempt.note == "Not reported: wandb: its process ended with code 1"
    assert _told(stand_ins.calls()) == [(1, 2.9), (2, 2.8)]


def test_a_process_that_is_killed_is_started_again_a_few_times(
    tmp_path: Path, stand_ins: StandIns, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(trainers_side, "AGAIN_S", (0.0, 0.0))
    folder = jobs.make(tmp_path / "root", report_to=["wandb"])
    attempt = Attempt(folder)
    reports = Reports(attempt, read_job(folder))
    reports.start()

    for step in (1, 2, 3):
        metrics.append(folder.metrics_file, _line(step))
        wait_until(lambda step=step: _is_told(folder, "wandb", step), "the figures are told")  # type: ignore[misc]
        [telling] = reports._telling
        telling.process.kill()
        telling.process.wait()
        reports.look()
        assert (attempt.note or "").startswith("Not reported: wandb: its process ended with code -9")
        reports.look()
    metrics.append(folder.metrics_file, _line(4))
    reports.finish()

    assert attempt.note == "Not reported: wandb: its process ended with code -9, and is not started again"
    assert f"{attempt.note} (reports/wandb.log)" in caplog.text
    assert _told(stand_ins.calls()) == [(1, 2.9), (2, 2.8), (3, 2.7)]
    inits = [call for call in stand_ins.calls() if call[0] == "init"]
    assert len(inits) == 3
    assert inits[0] == inits[-1]


def test_a_training_shows_its_curve_in_tensorboard_and_goes_on_where_another_tool_fails(
    tmp_path: Path,
    toy: Path,
    stand_ins: StandIns,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stand_ins.break_wandb()
    root = tmp_path / "root"
    (root / "models").mkdir(parents=True)
    (root / "models" / "toy").symlink_to(toy)
    folder = jobs.make(root, report_to=["tensorboard", "wandb"], eval_texts=["a text"], adapter_name="shown")

    said = _said_while_it_trains(monkeypatch, folder)

    jobs.train_here(folder)

    status = jobs.status(folder)
    assert said == ["Not reported: wandb: the host is unreachable"]
    assert (status.status, status.message) == ("completed", "Not reported: wandb: the host is unreachable")
    assert "Not reported: wandb: the host is unreachable (reports/wandb.log)" in caplog.text
    points = metrics.read(folder.metrics_file)
    scalars = list(_scalars(folder.reports / "tensorboard"))
    trained = [point for point in points if not point.is_evaluation]
    shown = [(step, value) for tag, step, value in scalars if tag == "train/loss"]
    assert [step for step, _ in shown] == [point.step for point in trained]
    assert [value for _, value in shown] == pytest.approx([point.loss for point in trained])
    assert [step for tag, step, _ in scalars if tag == "eval/loss"] == [6]
    assert {"train/learning_rate", "train/grad_norm", "eval/token_accuracy"} <= {tag for tag, _, _ in scalars}


def _said_while_it_trains(monkeypatch: pytest.MonkeyPatch, folder: JobFolder) -> list[str | None]:
    """What the status says after the last step. The first one waits until TensorBoard has begun and wandb has failed.

    They have as soon as their processes are started: what they said then must not be missed.
    """
    said: list[str | None] = []
    start, finish = Reports._started, Reports.finish

    def started(reports: Reports, tool: Tool) -> "subprocess.Popen[bytes]":
        process = start(reports, tool)
        wait_until(lambda: report_to.told(folder.reports, tool) != Told(), f"{tool} has begun or failed")
        return process

    def finished(reports: Reports) -> None:
        said.append(jobs.status(folder).message)
        finish(reports)

    monkeypatch.setattr(Reports, "_started", started)
    monkeypatch.setattr(Reports, "finish", finished)
    return said


def _scalars(folder: Path) -> Iterator[tuple[str, int, float]]:
    """Of event files: a length of 8 bytes and its check of 4, a record, and its check of 4."""
    for file in sorted(folder.iterdir()):
        content = file.read_bytes()
        while content:
            length = struct.unpack("<Q", content[:8])[0]
            event = Event.FromString(content[12 : 12 + length])
            content = content[16 + length :]
            yield from ((value.tag, event.step, value.simple_value) for value in event.summary.value)
