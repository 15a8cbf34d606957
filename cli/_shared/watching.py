"""Watching a job until it ends; Ctrl-C stops the watching, never the job."""

import json
import sys
from typing import Any, Protocol

import click

from cli._shared import address, api, events, named
from cli._shared.exits import Exit, Failure

ENDED = {"completed": Exit.DONE, "failed": Exit.JOB_FAILED, "cancelled": Exit.JOB_CANCELLED}


class Display(Protocol):
    """Where a watched job is shown."""

    def job(self, job: dict[str, Any]) -> None: ...
    def point(self, point: dict[str, Any]) -> None: ...
    def note(self, sentence: str) -> None: ...
    def close(self) -> None: ...


class Watched:
    """A job as it was last heard of."""

    def __init__(self, job_id: str) -> None:
        self._place = f"{named.JOBS}/{api.name(job_id)}"
        self.job = api.get(self._place).data

    def look(self) -> None:
        """Raises Failure where the job is not there any more. A server that is gone tells of it when it is back."""
        try:
            self.job = api.get(self._place, timeout_s=events.SILENCE_S).data
        except Failure as failure:
            if failure.code != Exit.NO_SERVER:
                raise

    def has_ended(self) -> bool:
        return self.job["status"] in ENDED


def watch(job_id: str, *, as_json: bool) -> Exit:
    """Show how a job gets on, until it ends. Raises Failure where there is none."""
    watched = Watched(job_id)
    display = _display(job_id, as_json=as_json)
    try:
        _follow(watched, {"curve": job_id}, display, as_json=as_json)
        display.job(watched.job)
    except KeyboardInterrupt:
        display.close()
        again, stop = (address.typed(f"{verb} {named.short(job_id)}") for verb in ("watch", "stop"))
        click.echo(f"\nDetached; the job goes on.   {again}   again   ·   {stop}   to stop it", err=True)
        return Exit.DONE
    display.close()
    return _told_end(watched.job)


def _follow(watched: Watched, query: dict[str, object], display: Display, *, as_json: bool) -> None:
    columns: list[str] = []
    for event in events.follow(query, watched.has_ended, display.note):
        if as_json:
            click.echo(json.dumps({"event": event.name, "data": event.data}))
        if event.name == "hello":
            columns = event.data["columns"]
        elif event.name == "jobs":
            watched.look()
            if not watched.has_ended():  # its last points are still to come
                display.job(watched.job)
        elif event.name == "points":
            for figures in event.data["points"]:
                display.point({k: v for k, v in zip(columns, figures, strict=True) if v is not None})


def _told_end(job: dict[str, Any]) -> Exit:
    code = ENDED[job["status"]]
    reason = job["stopped_early"] if code == Exit.DONE else job["error_message"]
    click.echo(f"{job['status']}{f': {reason}' if reason else ''}", err=True)
    return code


def _display(job_id: str, *, as_json: bool) -> Display:
    if as_json:
        return Silent()
    if sys.stdout.isatty():
        from cli._shared.bar import Bar  # noqa: PLC0415  35 ms, where something is drawn

        return Bar(job_id)
    return Lines()


class Silent:
    """Where the events themselves are printed."""

    def job(self, job: dict[str, Any]) -> None: ...
    def point(self, point: dict[str, Any]) -> None: ...
    def close(self) -> None: ...

    def note(self, sentence: str) -> None:
        click.echo(sentence, err=True)


class Lines:
    """In a pipe: one line a log step, `step=380 loss=1.284`; and one when the status is another, `status=running`."""

    def __init__(self) -> None:
        self._status: str | None = None
        self._newest: dict[str, int] = {}
        self._eta_s: float | None = None

    def job(self, job: dict[str, Any]) -> None:
        self._eta_s = job["eta_s"]
        if job["status"] != self._status:
            self._status = job["status"]
            click.echo(f"status={self._status}")

    def point(self, point: dict[str, Any]) -> None:
        """A resumed job tells some steps again."""
        kind = "eval_loss" if "eval_loss" in point else "loss"
        if point["step"] <= self._newest.get(kind, -1):
            return
        self._newest[kind] = point["step"]
        told = ("step", "loss", "eval_loss", "learning_rate", "tokens_per_second")
        figures = [f"{key}={point[key]:.6g}" for key in told if point.get(key) is not None]
        left = [f"eta_s={self._eta_s:.0f}"] if self._eta_s is not None else []
        click.echo(" ".join(figures + left))

    def note(self, sentence: str) -> None:
        click.echo(sentence, err=True)

    def close(self) -> None: ...
