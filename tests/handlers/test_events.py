"""The event stream: nothing is lost and nothing comes twice, whoever was away, and nobody waits for a slow reader."""

import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import psutil

from state import metrics
from state.jobs import JobFolder
from tests import processes
from tests.events import Event, Listener
from tests.processes import on_linux
from tests.server import CHECKOUT, MODEL, PATIENCE_S, Client, Server, wait_until
from tests.unloadable import unloadable


def _job(root: Path, job_id: str, *, status: str = "paused", steps: Iterable[int] = (), log: str = "") -> JobFolder:
    hidden, folder = root / "training_jobs" / f".{job_id}.new", root / "training_jobs" / f"job_{job_id}"
    hidden.mkdir(parents=True)
    (hidden / "job.json").write_text(json.dumps({"model_name": "toy"}))
    (hidden / "status.json").write_text(json.dumps({"status": status}))
    (hidden / "train.log").write_text(log)
    hidden.rename(folder)
    _log_steps(JobFolder(folder), steps)
    return JobFolder(folder)


def _log_steps(folder: JobFolder, steps: Iterable[int], loss: float = 1.0) -> None:
    for step in steps:
        metrics.append(folder.metrics_file, metrics.Point(step=step, epoch=step / 10, loss=loss))


def _steps(events: Iterable[Event]) -> list[int]:
    return [point[0] for event in events if event.name == "points" for point in event.data["points"]]


def _has_step(step: int) -> Callable[[Event], bool]:
    return lambda event: event.name == "points" and step in _steps([event])


def _says_gone(event: Event, job_id: str) -> bool:
    return event.name == "jobs" and job_id in event.data["gone"]


def _tells_of(job_id: str, **fields: object) -> Callable[[Event], bool]:
    def tells(event: Event) -> bool:
        rows = event.data["changed"] if event.name == "jobs" else []
        return any(row["job_id"] == job_id and fields.items() <= row.items() for row in rows)

    return tells


def test_a_stream_begins_with_what_there_is_and_goes_on_with_what_changes(queueing: Server) -> None:
    folder = _job(queueing.root, "followed", steps=range(3), log="one\nzwölf")
    with Listener(queueing, "?curve=followed&log=followed") as listener:
        assert listener.preamble == "retry: 1000\n"

        first = listener.until(lambda event: event.name == "machine")

        hello = first[0]
        assert hello.name == "hello"
        assert hello.data["columns"][:3] == ["step", "epoch", "loss"]
        assert [event.name for event in first] == ["hello", "jobs", "adapters", "data", "points", "log", "machine"]
        assert all(event.data["reset"] for event in first[1:6])
        assert first[4].data["points"][2][:3] == [2, 0.2, 1.0]
        assert first[5].data == {"job": "followed", "reset": True, "text": "one\nzwölf"}

        _log_steps(folder, [3])
        assert listener.until(lambda event: event.name == "points")[-1].data == {
            "job": "followed",
            "reset": False,
            "points": [[3, 0.3, 1.0, *[None] * (len(hello.data["columns"]) - 3)]],
        }
        with folder.log_file.open("a") as log:
            log.write(" two\n")
        heard = listener.until(lambda event: event.name == "log")
        assert heard[-1].data == {"job": "followed", "reset": False, "text": " two\n"}

        (folder.status_file).write_text('{"status": "cancelled", "progress": 50.0}')
        listener.until(_tells_of("followed", status="cancelled", progress=50.0))
        assert queueing.delete("/training/jobs/followed").status_code == 200
        heard = listener.until(lambda event: event.name == "points" and event.data["reset"])
        if not any(_says_gone(event, "followed") for event in heard):  # the list may be told later than the curve
            listener.until(lambda event: _says_gone(event, "followed"))


def test_data_sets_and_adapters_are_told_of_by_name(queueing: Server) -> None:
    with Listener(queueing) as listener:
        listener.until(lambda event: event.name == "data")

        adapter = queueing.root / "adapters" / "copied"
        adapter.mkdir()
        (adapter / "adapter_config.json").write_text('{"peft_type": "LORA"}')
        (adapter / "adapter_model.safetensors").write_bytes(b"")
        queueing.post("/training/data/upload", {"dataset_name": "told", "train_texts": ["one"]})

        missing = {("adapters", "copied"), ("data", "told")}
        while missing:
            event = listener.next()
            assert event is not None
            if event.name in {"adapters", "data"}:
                assert not event.data["reset"]
                missing -= {(event.name, row.get("name") or row.get("dataset_name")) for row in event.data["changed"]}

        queueing.delete("/adapters/copied")
        queueing.delete("/training/data/told")
        gone = {("adapters", "copied"), ("data", "told")}
        while gone:
            event = listener.next()
            assert event is not None
            if event.name in {"adapters", "data"}:
                gone -= {(event.name, name) for name in event.data["gone"]}


@on_linux
def test_a_reader_goes_on_where_it_was_after_the_server_was_killed(
    start_server: Callable[..., Server], tmp_path: Path
) -> None:
    folder = _job(tmp_path, "killed", steps=range(50), log="begun\n")
    _job(tmp_path, "other", status="completed", steps=range(5))
    server = start_server("--slots", "0")
    listener = Listener(server, "?curve=killed,other&log=killed")
    thread, heard = listener.in_background()
    wait_until(lambda: 49 in _steps(heard) and any(event.name == "log" for event in heard), "the curve has come")

    server.kill()
    thread.join()
    listener.close()
    _log_steps(folder, range(50, 70))
    with folder.log_file.open("a") as log:
        log.write("gone on\n")
    with Listener(start_server("--slots", "0"), "?curve=killed,other&log=killed", listener.last_id) as again:
        later = again.until(lambda event: event.name == "log")

    steps = [
        point[0]
        for event in [*heard, *later]
        if event.name == "points" and event.data["job"] == "killed"
        for point in event.data["points"]
    ]
    assert steps == list(range(70))
    assert not any(event.data["reset"] for event in later if event.name in {"points", "log"})
    assert "other" not in {event.data["job"] for event in later if event.name == "points"}
    assert later[-1].data["text"] == "gone on\n"
    jobs = next(event for event in later if event.name == "jobs")
    assert jobs.data["reset"]  # another server counts its changes anew
    assert {row["job_id"] for row in jobs.data["changed"]} == {"killed", "other"}


def test_a_reader_who_was_away_hears_of_what_changed_meanwhile_and_of_nothing_else(queueing: Server) -> None:
    _job(queueing.root, "still", status="completed", steps=range(4))
    away = _job(queueing.root, "away", status="completed")
    assert {queueing.status(job_id)["status"] for job_id in ("still", "away")} == {"completed"}
    with Listener(queueing, "?curve=still") as listener:
        listener.until(_has_step(3))

    (away.status_file).write_text('{"status": "failed"}')
    wait_until(lambda: queueing.status("away")["status"] == "failed", "the change is seen")
    with Listener(queueing, f"?curve=still&after={listener.last_id}") as back:
        heard = back.until(lambda event: event.name == "machine")

    assert [event.name for event in heard] == ["hello", "jobs", "machine"]
    assert [row["job_id"] for row in heard[1].data["changed"]] == ["away"]
    assert not heard[1].data["reset"]


def test_a_resumed_run_that_logs_its_steps_anew_begins_the_curve_anew(queueing: Server) -> None:
    folder = _job(queueing.root, "resumed", steps=range(10))
    with Listener(queueing, "?curve=resumed") as listener:
        listener.until(_has_step(9))

        metrics.rewind(folder.metrics_file, 4)
        _log_steps(folder, range(5, 12), loss=0.5)

        heard = listener.until(_has_step(11))
    points = [event for event in heard if event.name == "points"]
    last_reset = max(at for at, event in enumerate(points) if event.data["reset"])
    assert _steps(points[last_reset:]) == list(range(12))


def test_a_cursor_that_means_nothing_is_as_good_as_none(queueing: Server) -> None:
    _job(queueing.root, "odd", steps=range(3))
    for cursor in ("", "?", "x.99999999999999999999", "a.1;c.odd=1.zz;c.odd;l.=5.5", "a.1;c.odd=9223372036854775807.1"):
        with Listener(queueing, "?curve=odd,nobody", cursor) as listener:
            heard = listener.until(lambda event: event.name == "machine")

        assert _steps(heard) == [0, 1, 2]
        assert {event.data["job"] for event in heard if event.name == "points" and event.data["reset"]} == {
            "odd",
            "nobody",
        }


def test_the_command_of_the_page_works_as_written(queueing: Server) -> None:
    _job(queueing.root, "shown", steps=range(3), log="shown in the log")
    page = (CHECKOUT / "docs" / "events.md").read_text()
    command = page.split("```bash\n")[1].split("```")[0]

    patience = f"time {PATIENCE_S:.0f}"  # it is ended when all has come
    for old, new in {"localhost:5001": f"localhost:{queueing.port}", "JOB_ID": "shown", "time 3": patience}.items():
        command = command.replace(old, new)
    output = processes.start(["bash", "-c", f"exec {command.strip()}"], CHECKOUT).stdout
    assert output is not None

    missing = {f"event: {name}\n" for name in ("hello", "jobs", "points", "log", "machine")}
    while missing:
        line = output.readline()
        assert line, f"the output ended without {missing}"
        missing.discard(line)
    assert all(f"| `{name}`" in page for name in ("hello", "jobs", "adapters", "points", "log", "machine", "beat"))


def test_what_can_be_no_job_and_more_curves_than_a_page_can_show_are_refused(queueing: Server) -> None:
    many = queueing.get("/events", params={"curve": ",".join(map(str, range(21)))})
    odd = queueing.get("/events", params={"log": "a\nb"})

    assert (many.status_code, many.json()) == (400, {"error": "curve must name at most 20 jobs"})
    assert (odd.status_code, odd.json()["error"].startswith("log 'a\\nb' is not a valid name")) == (400, True)


@on_linux
def test_a_reader_who_does_not_read_costs_nothing_and_then_hears_how_things_stand(
    start_server: Callable[..., Server], tmp_path: Path
) -> None:
    long = _job(tmp_path, "long")
    long.metrics_file.write_text("".join(f'{{"step":{step},"epoch":1.0,"loss":2.5}}\n' for step in range(300_000)))
    busy = _job(tmp_path, "busy", status="pending")
    server = start_server("--slots", "0")
    process = psutil.Process(server.process.pid)
    with Listener(server, "?curve=long", ahead=65_536) as listener:  # or 10 MB, 8 rounds, are told before it is full
        listener.until(_has_step(0))
        before = process.memory_info().rss

        for progress in range(1, 31):
            busy.status_file.write_text(json.dumps({"status": "pending", "progress": progress}))
            wait_until(
                lambda wanted=progress: server.status("busy")["progress"] == wanted,  # type: ignore[misc]
                "the change is seen",
            )

        assert process.memory_info().rss - before < 20e6  # the events of the whole curve are 37 MB
        heard = listener.until(_tells_of("busy", progress=30.0))
    assert len([event for event in heard if event.name == "jobs"]) < 10  # of 30 changes
    steps = _steps(heard)
    assert len(steps) < 200_000
    assert steps == list(range(steps[0], steps[0] + len(steps)))


@on_linux
def test_a_server_ends_at_once_whoever_listens_or_waits_for_a_plan(start_server: Callable[..., Server]) -> None:
    server = start_server("--slots", "0", wrapper=[sys.executable, "-m", "tests.patient_server"])
    with unloadable(server.root, MODEL):  # else the plan may be made before the server ends
        waiting = Client(server, "/training/plan", {"model_name": MODEL, "train_texts": ["a text"]})
        wait_until(lambda: server.asked("runtime.trainer.forecast") != [], "the plan is being made")
        listeners = [Listener(server) for _ in range(3)]
        for listener in listeners:
            listener.until(lambda event: event.name == "machine")

        server.process.terminate()
        server.process.wait(PATIENCE_S)

    for listener in listeners:
        while listener.next() is not None:
            pass  # what the machine's free memory was meanwhile
        listener.close()
    assert "The server is shutting down" in waiting.answer()[1]
    began, planned = server.log.read_text().splitlines()  # more would tell of what went wrong
    assert began.endswith(f" INFO lathe: The dashboard is at http://localhost:{server.port}/")
    assert "POST /api/training/plan" in planned
