"""A trainer that is killed, terminated, stopped or started twice, by real processes and signals."""

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from state import locks
from state.jobs import JobFolder
from tests import jobs
from tests.server import CHECKOUT, wait_until

LONG = {"num_epochs": 60, "save_steps": 20, "logging_steps": 7}  # 180 steps


def _wait_for_checkpoint(folder: JobFolder, step: int) -> None:
    wait_until((folder.checkpoints / f"step-{step}").exists, f"step {step} is saved", timeout_s=60)


def _interrupt(folder: JobFolder, number: signal.Signals) -> tuple[int, str]:
    """Launch a trainer, signal it after its second checkpoint, and wait for its end."""
    process = jobs.launch(folder)
    _wait_for_checkpoint(folder, 40)
    process.send_signal(number)
    output, _ = process.communicate(timeout=60)
    assert not (folder.checkpoints / "step-180").exists(), "the trainer was through before the signal"
    return process.returncode, output


def test_a_killed_run_that_goes_on_equals_one_that_was_not_killed(root: Path) -> None:
    whole = jobs.make(root, "whole", training_config=LONG)
    killed = jobs.make(root, "killed", training_config=LONG)
    jobs.train_here(whole)

    _interrupt(killed, signal.SIGKILL)
    assert jobs.status(killed).status == "running"
    assert not locks.is_held(killed.trainer_lock)
    exit_code, output = jobs.run(killed)

    assert exit_code == 0, output
    assert "Going on from step-" in output
    assert jobs.weights(killed) == jobs.weights(whole)
    assert jobs.losses(killed) == jobs.losses(whole)


def test_a_damaged_checkpoint_costs_the_steps_back_to_the_one_before(root: Path) -> None:
    folder = jobs.make(root, training_config=LONG)
    jobs.train_here(folder)
    expected = jobs.weights(folder)
    for step in range(80, 181, 20):
        shutil.rmtree(folder.checkpoints / f"step-{step}")
    damaged = folder.checkpoints / "step-60" / "trainer.pt"
    damaged.write_bytes(damaged.read_bytes()[:1000])
    status = json.loads(folder.status_file.read_text())
    folder.status_file.write_text(json.dumps(status | {"status": "running"}))

    exit_code, output = jobs.run(folder)

    assert exit_code == 0, output
    assert "step-60 cannot be read, trying the one before" in output
    assert "Going on from step-40" in output
    assert jobs.weights(folder) == expected


def test_the_stop_file_ends_a_run_after_its_step_with_a_checkpoint(root: Path) -> None:
    folder = jobs.make(root, training_config=LONG | {"save_steps": 1000})
    process = jobs.launch(folder)
    wait_until(lambda: len(jobs.losses(folder)) > 1, "some steps are logged", timeout_s=60)

    folder.stop_file.touch()
    output, _ = process.communicate(timeout=60)

    status = jobs.status(folder)
    assert process.returncode == 130, output
    assert (status.status, status.pid, status.error_message) == ("cancelled", None, None)
    assert [path.name for path in folder.checkpoints.iterdir()] == [f"step-{status.current_step}"]
    assert 0 < status.current_step < 180

    exit_code, output = jobs.run(folder)
    assert exit_code == 130, output  # the file is still there

    folder.stop_file.unlink()
    exit_code, output = jobs.run(folder)
    assert exit_code == 0, output
    assert f"Going on from step-{status.current_step}" in output


def test_ctrl_c_cancels(root: Path) -> None:
    folder = jobs.make(root, training_config=LONG)

    exit_code, output = _interrupt(folder, signal.SIGINT)

    assert exit_code == 130, output
    assert jobs.status(folder).status == "cancelled"


def test_sigterm_leaves_the_job_to_be_gone_on_with(root: Path) -> None:
    folder = jobs.make(root, training_config=LONG)

    exit_code, output = _interrupt(folder, signal.SIGTERM)

    assert exit_code == 143, output
    assert jobs.status(folder).status == "running"
    assert (folder.checkpoints / f"step-{jobs.status(folder).current_step}").exists()


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
    assert message.startswith("data/train.jsonl: line 2: Object contains unknown field `txt`")
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
