"""MLflow. The server is the environment's MLFLOW_TRACKING_URI; without one, `mlruns/` in the data root."""

import os
import time

from mlflow import MlflowClient
from mlflow.entities import Metric, Param

from runtime.trainer.reporting.run import Beginning, Outcome

STATUSES: dict[Outcome, str] = {
    "completed": "FINISHED",
    "failed": "FAILED",
    "cancelled": "KILLED",
    "goes on": "SCHEDULED",
}
MOST_METRICS = 1000  # of one request, by its protocol
MOST_LETTERS = 500  # of a parameter's value: older servers refuse more


class MlflowRun:
    def __init__(self, begun: Beginning) -> None:
        os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")  # else it asks for a database, and SQLAlchemy
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")  # of its 7, which take minutes
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
        self._client = MlflowClient(os.environ.get("MLFLOW_TRACKING_URI") or (begun.root / "mlruns").as_uri())
        self._unsent: list[Metric] = []
        self.run_id = begun.run_id or self._created(begun)
        self._client.update_run(self.run_id, status="RUNNING")

    def log(self, step: int, figures: dict[str, float]) -> None:
        now_ms = int(time.time() * 1000)
        self._unsent += [Metric(name, figure, now_ms, step) for name, figure in figures.items()]

    def flush(self) -> None:
        while self._unsent:
            self._client.log_batch(self.run_id, metrics=self._unsent[:MOST_METRICS])
            self._unsent = self._unsent[MOST_METRICS:]

    def end(self, outcome: Outcome) -> None:
        self._client.set_terminated(self.run_id, STATUSES[outcome])

    def _created(self, begun: Beginning) -> str:
        experiment = self._client.get_experiment_by_name(begun.project)
        experiment_id = experiment.experiment_id if experiment else self._client.create_experiment(begun.project)
        run = self._client.create_run(experiment_id, run_name=begun.name, tags={"lathe.job_id": begun.job_id})
        params = [Param(name, str(value)[:MOST_LETTERS]) for name, value in begun.settings.items()]
        self._client.log_batch(run.info.run_id, params=params)
        return str(run.info.run_id)
