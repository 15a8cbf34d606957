"""A trainer that is killed, terminated, stopped or started twice, by real processes and signals."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import PIPE
from typing import Any

import pytest

from state import locks, metrics, samples
from state.jobs import JobFolder, Status
from tests import jobs
from tests.server import CHECKOUT, PATIENCE_S, wait_until

LONG = {"num_epochs": 10, "save_steps": 5, "logging_steps": 4, "save_total_limit": 9}  # 30 steps


class Stuck:
    """A trainer that is stuck, as in an operation that takes hours, once this is made."""

    def __init__(self, folder: JobFolder, where: str, ask: Callable[..., int]) -> None:
        """`ask` is the nursery's."""
        self._ask = ask
        self._output = folder.path.parent.parent / "output"
        self._exit_code: int | None = None
        self.pid = ask(str(folder.path), where, str(self._output))
        wait_until((folder.path.parent.parent / "stuck").exists, f"the trainer is stuck in its {where}")

    def signal(self, number: signal.Signals) -> None:
        if self._exit_code is None:
            os.kill(self.pid, number)

    def ended(self) -> tuple[int, str]:
        """Its exit code and output, when it has ended."""
        if self._exit_code is None:
            self._exit_code = self._ask(self.pid)
        return self._exit_code, self._output.read_text()


Stick = Callable[[JobFolder, str], Stuck]


@pytest.fixture(scope="module")
def nursery() -> Iterator[Callable[..., int]]:
    """Asks for trainers that have their imports behind them, and for their ends (tests/nursery.py)."""
    command = [sys.executable, "-m", "tests.nursery"]
    one_thread = os.environ | {
        "OPENBLAS_NUM_THREADS": "1"
    }  # numpy starts others as it is imported, and no fork has them
    with subprocess.Popen(command, cwd=CHECKOUT, stdin=PIPE, stdout=PIPE, text=True, env=one_thread) as process:
        questions, answers = process.stdin, process.stdout
        assert questions is not None
        assert answers is not None

        def ask(*question: str | int) -> int:
            print(json.dumps(question), file=questions, flush=True)
            return int(answers.readline())

        yield ask


@pytest.fixture
def stick(nursery: Callable[..., int]) -> Iterator[Stick]:
    """Start a trainer that is stuck somewhere. One that a failed test leaves is ended."""
    started: list[Stuck] = []

    def start(folder: JobFolder, where: str) -> Stuck:
        started.append(Stuck(folder, where, nursery))
        return started[-1]

    yield start
    for stuck in started:
        stuck.signal(signal.SIGKILL)
        stuck.ended()


def _stop(folder: JobFolder, stuck: Stuck) -> None:
    folder.stop_file.touch()
    exit_code, output = stuck.ended()
    assert exit_code == 130, output
    folder.stop_file.unlink()


def test_a_killed_run_that_goes_on_equals_one_that_was_not_killed(
    root: Path, stick: Stick, caplog: pytest.LogCaptureFixture
) -> None:
    whole = jobs.make(root, "whole", training_config=LONG)
    killed = jobs.make(root, "killed", training_config=LONG)
    jobs.train_here(whole)

    stuck = stick(killed, "step 13")
    stuck.signal(signal.SIGKILL)
    stuck.ended()
    assert jobs.status(killed).status == "running"
    assert not locks.is_held(killed.trainer_lock)
    _go_on(killed, caplog)

    assert "Going on from step-10" in caplog.text
    assert jobs.weights(killed) == jobs.weights(whole)
    assert jobs.losses(killed) == jobs.losses(whole)


def test_a_damaged_checkpoint_costs_the_steps_back_to_the_one_before(
    root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = jobs.make(root, training_config=LONG)
    jobs.train_here(folder)
    expected = jobs.weights(folder)
    for step in range(20, 31, 5):
        shutil.rmtree(folder.checkpoints / f"step-{step}")
    damaged = folder.checkpoints / "step-15" / "trainer.pt"
    damaged.write_bytes(damaged.read_bytes()[:1000])
    status = json.loads(folder.status_file.read_text())
    folder.status_file.write_text(json.dumps(status | {"status": "running"}))

    _go_on(folder, caplog)

    assert "step-15 cannot be read, trying the one before" in caplog.text
    assert "Going on from step-10" in caplog.text
    assert jobs.weights(folder) == expected


def _go_on(folder: JobFolder, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        jobs.train_here(folder)


def test_the_stop_file_ends_a_run_after_its_step_with_a_checkpoint(
    root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    endless = {"max_steps": 1_000_000, "save_steps": 1_000_000, "logging_steps": 7}
    folder = jobs.make(root, training_config=endless)
    process = jobs.launch(folder)
    wait_until(lambda: len(jobs.losses(folder)) > 1, "some steps are logged")

    folder.stop_file.touch()
    output, _ = process.communicate(timeout=PATIENCE_S)

    status = jobs.status(folder)
    assert process.returncode == 130, output
    assert (status.status, status.pid, status.error_message) == ("cancelled", None, None)
    assert [path.name for path in folder.checkpoints.iterdir()] == [f"step-{status.current_step}"]
    assert status.current_step > 0

    exit_code, output = jobs.run(folder)
    assert exit_code == 130, output  # the file is still there

    folder.stop_file.unlink()
    job = json.loads(folder.job_file.read_text())
    job["training_config"]["max_steps"] = status.current_step + 3
    folder.job_file.write_text(json.dumps(job))
    _go_on(folder, caplog)
    assert f"Going on from step-{status.current_step}" in caplog.text
    assert jobs.status(folder).status == "completed"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, toy: Path) -> JobFolder:
    """A run that nobody has interrupted."""
    root = tmp_path_factory.mktemp("whole")
    shutil.copytree(toy, root / "models" / "toy")
    folder = jobs.make(root, training_config={"logging_steps": 3})
    jobs.train_here(folder)
    return folder


@pytest.mark.parametrize(
    ("interrupt", "exit_code", "state"),
    [
        ("stop", 130, "cancelled"),
        ("pause", 4, "paused"),
        (signal.SIGINT, 130, "cancelled"),
        (signal.SIGTERM, 143, "running"),
    ],
)
def test_an_interruption_in_the_middle_of_a_row_keeps_the_last_whole_step_to_the_bit(
    root: Path, stick: Stick, whole: JobFolder, interrupt: signal.Signals | str, exit_code: int, state: str
) -> None:
    interrupted = jobs.make(root, "interrupted", training_config={"logging_steps": 3})

    stuck = stick(interrupted, "step 5")
    if isinstance(interrupt, str):
        (interrupted.path / interrupt).touch()
    else:
        stuck.signal(interrupt)
    found, output = stuck.ended()

    status = jobs.status(interrupted)
    assert found == exit_code, output
    assert (status.status, status.current_step, status.error_message) == (state, 4, None)
    assert (status.completed_at is None) == (state != "cancelled")
    assert [path.name for path in interrupted.checkpoints.iterdir()] == ["step-4"]

    for file in (interrupted.stop_file, interrupted.pause_file):
        file.unlink(missing_ok=True)
    jobs.train_here(interrupted)
    assert jobs.weights(interrupted) == jobs.weights(whole)
    assert jobs.losses(interrupted) == jobs.losses(whole)


def test_a_stop_during_an_evaluation_keeps_the_step_and_evaluates_it_on_resuming(root: Path, stick: Stick) -> None:
    whole = jobs.make(root, "whole", eval_texts=jobs.TEXTS[:3], training_config={"save_steps": 2})
    stopped = jobs.make(root, "stopped", eval_texts=jobs.TEXTS[:3], training_config={"save_steps": 2})
    jobs.train_here(whole)

    _stop(stopped, stick(stopped, "evaluation"))

    assert [path.name for path in stopped.checkpoints.iterdir()] == ["step-2"]
    jobs.train_here(stopped)
    assert jobs.weights(stopped) == jobs.weights(whole)
    curve, expected = (metrics.read(folder.metrics_file) for folder in (stopped, whole))
    assert [(point.step, point.loss, point.eval_loss) for point in curve] == [
        (point.step, point.loss, point.eval_loss) for point in expected
    ]


def test_a_killed_run_stops_early_where_it_would_have_with_the_best_adapter_that_it_would_have(
    root: Path, stick: Stick
) -> None:
    """It is killed between the first of the evaluations that end it and the second."""
    patient = {"eval_steps": 2, "save_steps": 5, "keep": "best", "early_stopping": {"patience": 2, "min_delta": 9.0}}
    fields: dict[str, Any] = {"eval_texts": jobs.TEXTS[:3], "training_config": patient | {"num_epochs": 4}}
    whole, killed = (jobs.make(root, name, **fields) for name in ("whole", "killed"))
    jobs.train_here(whole)

    stuck = stick(killed, "step 6")
    stuck.signal(signal.SIGKILL)
    stuck.ended()
    jobs.train_here(killed)

    assert jobs.weights(killed) == jobs.weights(whole)
    ends = [(end.current_step, end.total_steps, end.stopped_early) for end in map(jobs.status, (killed, whole))]
    assert ends[0] == ends[1]
    assert ends[0][:2] == (6, 12)
    recorded = [json.loads((folder.adapter / "adapter.json").read_text())["metrics"] for folder in (killed, whole)]
    assert recorded[0]["best_step"] == 6
    assert [found | {"training_time_minutes": 0} for found in recorded[:1]] == [
        found | {"training_time_minutes": 0} for found in recorded[1:]
    ]


def test_a_stop_does_not_wait_for_an_answer_and_a_resumed_run_writes_none_twice(root: Path, stick: Stick) -> None:
    settings = {"save_steps": 3}
    asked: dict[str, Any] = {"sample_prompts": ["1 +", "def f("], "sample_tokens": 2, "training_config": settings}
    whole, stopped = (jobs.make(root, name, **asked) for name in ("whole", "stopped"))
    jobs.train_here(whole)

    _stop(stopped, stick(stopped, "sample 4"))

    assert len(samples.read(stopped.samples_file)) == 3
    assert [path.name for path in stopped.checkpoints.iterdir()] == ["step-3"]
    jobs.train_here(stopped)
    assert stopped.samples_file.read_bytes() == whole.samples_file.read_bytes()
    assert jobs.weights(stopped) == jobs.weights(whole)


def test_a_trainer_runs_and_can_be_stopped_from_before_its_first_import(root: Path) -> None:
    folder = jobs.make(root)
    process = jobs.launch(folder, "tests.stuck_trainer", "import of torch")
    wait_until((root / "stuck").exists, "it is about to import torch")
    running = jobs.status(folder)

    folder.stop_file.touch()
    output, _ = process.communicate(timeout=PATIENCE_S)

    assert process.returncode == 130, output
    _assert_cancelled_before_a_step(folder, running, process.pid)


def test_a_trainer_can_be_stopped_while_it_prepares(root: Path, stick: Stick) -> None:
    folder = jobs.make(root)
    stuck = stick(folder, "preparation")
    running = jobs.status(folder)

    _stop(folder, stuck)

    _assert_cancelled_before_a_step(folder, running, stuck.pid)


def _assert_cancelled_before_a_step(folder: JobFolder, running: Status, pid: int) -> None:
    assert (running.status, running.pid, running.attempt) == ("running", pid, 1)
    ended = jobs.status(folder)
    assert (ended.status, ended.pid, ended.current_step) == ("cancelled", None, 0)
    assert not folder.checkpoints.exists()


def test_a_trainer_that_has_said_its_last_word_does_not_tear_its_interpreter_down(root: Path) -> None:
    """With torch in it that takes seconds, and all memory, while the next job starts."""
    folder = jobs.make(root)

    output, _ = jobs.launch(folder, "tests.stuck_trainer", "nowhere").communicate(timeout=PATIENCE_S)

    assert jobs.status(folder).status == "completed", output
    assert "Completed: the adapter is" in output
    assert "torn down" not in output


def test_a_second_trainer_leaves_the_folder_alone(root: Path) -> None:
    folder = jobs.make(root)

    with locks.hold(folder.trainer_lock, timeout_s=0):
        exit_code, output = jobs.run(folder)

    assert exit_code == 1
    assert "Another trainer works in job_toy" in output
    assert not folder.status_file.exists()
    assert not folder.log_file.exists()


def test_a_failed_run_says_why_with_the_end_of_its_log(root: Path) -> None:
    folder = jobs.make(root)
    folder.train_file.write_text('{"text": "fine"}\n{"txt": "typo"}\n')

    exit_code, output = jobs.run(folder)

    message = jobs.status(folder).error_message or ""
    assert exit_code == 1, output
    assert jobs.status(folder).status == "failed"
    assert message.startswith("train.jsonl line 2: no format has the keys 'txt'; use text;")
    assert "Last lines of train.log:" in message


def test_a_completed_job_is_not_trained_again(root: Path) -> None:
    folder = jobs.make(root)
    jobs.train_here(folder)
    before = folder.status_file.read_bytes()

    exit_code, output = jobs.run(folder)

    assert exit_code == 0
    assert "is completed: its adapter is" in output
    assert folder.status_file.read_bytes() == before


def test_a_job_file_that_does_not_parse_begins_nothing(root: Path) -> None:
    folder = jobs.make(root)
    folder.job_file.write_text('{"model_name": "toy", "lora_confg": {}}')

    exit_code, output = jobs.run(folder)

    assert exit_code == 1
    assert "job_toy/job.json: Object contains unknown field `lora_confg`" in output
    assert not folder.status_file.exists()


def test_a_folder_that_is_no_job_is_refused(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "runtime.trainer", str(tmp_path)]

    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert "is not a job's folder: it has no job.json" in done.stderr
    assert list(tmp_path.iterdir()) == []
