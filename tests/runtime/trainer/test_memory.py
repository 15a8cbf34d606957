"""What is forecast of a run's memory is what it takes, and saving memory does not change what is computed."""

from pathlib import Path

import pytest

from runtime.trainer.fit import Fit
from runtime.trainer.preparation import Ready
from state import metrics
from state.errors import ServiceError
from tests import jobs, toys

LONG = ["one two three four five " * 12, "six seven " * 30, "eight nine ten " * 20, "eleven " * 40] * 6


def test_short_rows_and_checkpointing_make_the_same_losses(
    root: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    plain = jobs.make(root, "job_plain", texts=LONG, adapter_name="plain", lora_config={"lora_dropout": 0.0})
    jobs.train_here(plain)
    lean = jobs.make(root, "job_lean", texts=LONG, adapter_name="lean", lora_config={"lora_dropout": 0.0})
    monkeypatch.setattr(Ready, "fit", lambda _: Fit("layers", 100))

    with caplog.at_level("INFO"):
        jobs.train_here(lean)

    assert jobs.losses(lean) == pytest.approx(jobs.losses(plain), rel=2e-3)
    assert "gradient checkpointing: layers" in caplog.text


@pytest.mark.parametrize("limit_mb", [100, 10])
def test_a_job_beyond_the_memory_it_may_take_fails_before_its_first_step(
    root: Path, limit_mb: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = jobs.make(root)
    monkeypatch.setenv("LATHE_MEMORY_MB", str(limit_mb))

    with pytest.raises(ServiceError, match=f"and there are {limit_mb}[.]"):
        jobs.train_here(folder)

    assert jobs.losses(folder) == []


def test_a_limit_that_is_no_number_is_refused(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = jobs.make(root)
    monkeypatch.setenv("LATHE_MEMORY_MB", "8 GB")

    with pytest.raises(ServiceError, match="LATHE_MEMORY_MB is '8 GB'"):
        jobs.train_here(folder)


def test_a_runs_peak_is_forecast(tmp_path: Path) -> None:
    """Within 15 percent, of a model whose rows take more than the process itself."""
    toys.make(tmp_path / "models" / "toy", hidden_size=512, intermediate_size=1376, num_hidden_layers=8)
    folder = jobs.make(
        tmp_path,
        texts=["word " * 500] * 8,
        training_config={"max_steps": 2, "batch_size": 8, "max_seq_length": 256},
        lora_config={"target_modules": "all-linear"},
    )

    jobs.run(folder)

    forecast = float(_between(folder.log_file.read_text(), "about ", " MB"))
    took = metrics.read(folder.metrics_file)[-1].memory_mb
    assert took == pytest.approx(forecast, rel=0.15)
    assert jobs.status(folder).planned_memory_mb == pytest.approx(forecast, abs=0.5), "inference leaves it so much"


def _between(text: str, before: str, after: str) -> str:
    return text.split(before, 1)[1].split(after, 1)[0]
