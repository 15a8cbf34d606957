"""A finished job's curve as OpenAI's result file: CSV, made of metrics.jsonl whenever it is asked for."""

import csv
import io

from state import metrics
from state.jobs import JobFolder

PREFIX = "file-result-"
FILENAME = "step_metrics.csv"
PURPOSE = "fine-tune-results"
COLUMNS = ("step", "train_loss", "train_accuracy", "valid_loss", "valid_mean_token_accuracy")


def id_of(job_id: str) -> str:
    return f"{PREFIX}{job_id}"


def content(folder: JobFolder) -> bytes:
    """One line a step that was logged or evaluated; cells of what was not measured are empty."""
    rows: dict[int, dict[str, float | None]] = {}
    for point in metrics.read(folder.metrics_file):
        row = rows.setdefault(point.step, {"step": point.step})
        found = {
            "train_loss": point.loss,
            "valid_loss": point.eval_loss,
            "valid_mean_token_accuracy": point.eval_token_accuracy,
        }
        row.update({name: value for name, value in found.items() if value is not None})
    written = io.StringIO()
    writer = csv.DictWriter(written, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows.values())
    return written.getvalue().encode()
