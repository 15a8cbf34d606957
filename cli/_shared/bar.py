"""A watched job on a terminal: one bar, with what is known beside it."""

from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from cli._shared import named, times


class Bar:
    def __init__(self, job_id: str) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(30), TextColumn("{task.fields[words]}"))
        self._progress = Progress(*columns, console=Console())
        self._task = self._progress.add_task(named.short(job_id), total=100, words="")
        self._job: dict[str, Any] = {}
        self._point: dict[str, Any] = {}
        self._progress.start()

    def job(self, job: dict[str, Any]) -> None:
        self._job = job
        self._draw()

    def point(self, point: dict[str, Any]) -> None:
        self._point |= point
        self._draw()

    def note(self, sentence: str) -> None:
        self._progress.console.print(sentence, markup=False, highlight=False)

    def close(self) -> None:
        self._progress.stop()

    def _draw(self) -> None:
        if self._job:  # it is told of first, but by a job that has ended
            self._progress.update(self._task, completed=self._job["progress"], words=self._words())

    def _words(self) -> str:
        job, point = self._job, self._point
        if job["status"] != "running" or job["message"]:
            return str(job["message"] or job["queue_reason"] or job["status"])
        if not job["total_steps"]:
            return "starting"
        words = [f"{job['progress']:.0f} %", f"{job['step']}/{job['total_steps']}"]
        figures = (("loss", "loss {:.3f}"), ("eval_loss", "eval {:.3f}"), ("tokens_per_second", "{:,.0f} tok/s"))
        words += [form.format(point[key]) for key, form in figures if point.get(key) is not None]
        if job["eta_s"] is not None:
            words.append(f"{times.span(job['eta_s'])} left")
        return "  ".join(words)
