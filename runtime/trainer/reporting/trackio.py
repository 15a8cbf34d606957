"""Trackio, on this machine: `trackio show` opens it. TRACKIO_DIR says where it keeps its runs."""

import trackio

from runtime.trainer.reporting.run import Beginning, Outcome


class TrackioRun:
    """It knows a run by its name, so the job's id stands in that."""

    def __init__(self, begun: Beginning) -> None:
        short_id = begun.job_id[:8]
        self.run_id = begun.run_id or (begun.name if short_id in begun.name else f"{begun.name}-{short_id}")
        self._run = trackio.init(
            project=begun.project,
            name=self.run_id,
            config=begun.settings,
            resume="allow",
            embed=False,
            auto_log_gpu=False,
            auto_log_cpu=False,
        )

    def log(self, step: int, figures: dict[str, float]) -> None:
        self._run.log(figures, step=step)

    def flush(self) -> None:
        """It writes by itself, within a second."""

    def end(self, outcome: Outcome) -> None:
        del outcome  # it has no place for it
        self._run.finish()
