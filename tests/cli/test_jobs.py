"""Commands about jobs: how a job is named, what is printed, what ends with which code."""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Lathe, plain
from tests.server import Server, wait_until


def _by_hand(server: Server, job_id: str, status: str, **fields: object) -> None:
    """A job folder made by hand, as it stands after its training."""
    building = server.root / "training_jobs" / f".{job_id}.new"
    building.mkdir()
    (building / "job.json").write_text(json.dumps({"model_name": "tiny-python", "adapter_name": f"of-{job_id}"}))
    (building / "status.json").write_text(json.dumps({"status": status} | fields))
    building.rename(server.root / "training_jobs" / f"job_{job_id}")
    wait_until(lambda: job_id in server.get("/training/jobs").text, f"{job_id} is listed")


def test_json_is_what_the_api_answers(queueing: Server, lathe: Lathe) -> None:
    job_id = queueing.start()

    listed = lathe("jobs", "--limit", "1", "--json")
    shown = lathe("job", job_id, "--json")
    lines = lathe("jobs", "--limit", "2", "--jsonl")

    assert listed.out.encode() == queueing.get("/training/jobs?limit=1").content + b"\n"
    assert shown.out.encode() == queueing.get(f"/training/jobs/{job_id}").content + b"\n"
    assert [json.loads(line) for line in lines.out.splitlines()] == queueing.get("/training/jobs?limit=2").json()[
        "jobs"
    ]


def test_a_pipe_gets_whole_values_and_a_terminal_a_table(queueing: Server, lathe: Lathe) -> None:
    job_id = queueing.start(adapter_name="shown-in-a-table")

    row = lathe("jobs", "--limit", "1").cells[0]
    table = lathe.on_terminal("jobs", "--limit", "1").out

    assert row[:4] == [job_id, "shown-in-a-table", "tiny-python", "pending"]
    header, shown, *_ = plain(table).splitlines()
    assert header.split()[:4] == ["ID", "NAME", "BASE", "STATUS"]
    assert shown.split()[:4] == [job_id[:8], "shown-in-a-table", "tiny-python", "pending"]
    assert table != plain(table)
    narrow = lathe.on_terminal("jobs", "--limit", "1", columns=50).out
    header, shown, *_, left_out = plain(narrow).splitlines()
    assert header.split() == ["ID", "NAME"]
    assert shown.split()[:2] == [job_id[:8], "shown-in-a-table"]  # whole
    assert left_out.startswith("A wider terminal also shows BASE, STATUS, STEP, ")


def test_a_job_is_named_by_its_id_its_beginning_its_adapter_or_its_place(queueing: Server, lathe: Lathe) -> None:
    stopped = queueing.start(adapter_name="named-older")
    assert queueing.post(f"/training/stop/{stopped}").status_code == 200
    older, newer = queueing.start(adapter_name="named-older"), queueing.start(adapter_name="named-newer")

    shown = dict(lathe("job", older).cells)
    assert (shown["adapter_name"], shown["training_config.num_epochs"]) == ("named-older", "3")
    for reference, job_id in ((older, older), (older[:13], older), ("named-older", older), ("@", newer), ("@2", older)):
        assert json.loads(lathe("job", reference, "--json").out)["job_id"] == job_id


@pytest.mark.parametrize("reference", ["nothing-is-called-so", "@1000000", "01234567-89ab-cdef-0123-456789abcdef"])
def test_a_job_that_there_is_not_ends_with_4(lathe: Lathe, reference: str) -> None:
    done = lathe("job", reference)

    assert (done.code, done.out) == (4, "")
    assert len(done.err.splitlines()) == 1


@pytest.mark.parametrize("command", [["rm"], ["stop"], ["data", "rm"], ["data", "show"], ["rm-adapter"]])
def test_an_empty_name_is_no_name(queueing: Server, lathe: Lathe, command: list[str]) -> None:
    queueing.start()

    done = lathe(*command, "")

    assert (done.code, done.out, "name is empty" in done.err) == (4, "", True)


def test_what_two_ids_begin_with_names_neither(queueing: Server, lathe: Lathe) -> None:
    _by_hand(queueing, "twin-a", "completed")
    _by_hand(queueing, "twin-b", "completed")

    done = lathe("job", "twin")

    assert (done.code, done.err) == (4, done.err)
    assert done.err.startswith("2 jobs begin with twin: ")


def test_jobs_are_paused_resumed_stopped_and_removed(queueing: Server, lathe: Lathe) -> None:
    job_id, other = queueing.start(), queueing.start()

    for command, status in (("pause", "paused"), ("resume", "pending"), ("stop", "cancelled")):
        done = lathe(command, job_id, other)
        assert (done.code, len(done.out.splitlines())) == (0, 2)
        assert {queueing.status(each)["status"] for each in (job_id, other)} == {status}
    again = lathe("stop", job_id, "nothing-is-called-so")
    removed = lathe("rm", other, job_id)

    assert (again.code, len(again.err.splitlines())) == (1, 2)
    assert removed.code == 0
    assert lathe("rm", job_id).code == 4


@pytest.mark.parametrize(("status", "code"), [("completed", 0), ("failed", 5), ("cancelled", 6)])
def test_watching_ends_as_the_job_does(queueing: Server, lathe: Lathe, status: str, code: int) -> None:
    reason = {"error_message": "the loss is not a number"} if status == "failed" else {}
    _by_hand(queueing, f"watched-{status}", status, **reason)

    done = lathe("watch", f"of-watched-{status}")

    assert (done.code, done.out) == (code, f"status={status}\n")
    assert done.err == (f"{status}: the loss is not a number\n" if reason else f"{status}\n")


def test_curves_come_as_csv_and_as_the_api_answers_and_as_a_drawing(queueing: Server, lathe: Lathe) -> None:
    _by_hand(queueing, "curve", "completed")
    points = [{"step": 1, "epoch": 0.5, "loss": 3.0}, {"step": 2, "epoch": 1.0, "loss": 1.5}]
    points.append({"step": 2, "epoch": 1.0, "eval_loss": 2.0})
    file = queueing.job_folder("curve") / "metrics.jsonl"
    file.write_text("".join(json.dumps(point) + "\n" for point in points))

    drawn, without_color = lathe.on_terminal("curve", "curve"), lathe.on_terminal("--no-color", "curve", "curve")

    assert lathe("curve", "curve").out == (
        "job_id,step,epoch,loss,eval_loss\ncurve,1,0.5,3.0,\ncurve,2,1.0,1.5,\ncurve,2,1.0,,2.0\n"
    )
    assert lathe("curve", "curve", "--json").out.encode() == queueing.get("/training/metrics/curve").content + b"\n"
    first, *_, axis, label, evaluations = plain(drawn.out).splitlines()
    assert first.startswith("  3 ⠉")
    assert axis.split() == ["1", "2"]
    assert plain(without_color.out) == plain(drawn.out)
    assert ("\x1b[3" in drawn.out, "\x1b[3" in without_color.out) == (True, False)
    assert (label.split(), evaluations.split()) == (["──", "curve"], ["──", "curve", "eval"])


def test_the_log_is_printed_from_its_end_on(queueing: Server, lathe: Lathe) -> None:
    _by_hand(queueing, "logged", "completed")
    (queueing.job_folder("logged") / "train.log").write_text("one\ntwo\nthree\n")

    assert lathe("logs", "logged", "-n", "2").out == "two\nthree\n"
    assert lathe("logs", "logged", "-f", "-n", "2").out == "two\nthree\n"


def test_rows_from_the_standard_input_become_a_job(queueing: Server, lathe: Lathe, tmp_path: Path) -> None:
    row = '{"prompt": "2 + 3?", "completion": "5"}\n'
    settings = ["--set", "training_config.keep_epochs=1", "--set", 'lora_config.target_modules=["q_proj"]']

    started = lathe(
        "train", "-", "-m", "tiny-python", "-d", "--epochs", "2", *settings, "--set", "description=By hand", stdin=row
    )
    (tmp_path / "stdin.jsonl").write_text(row)
    again = lathe("train", "stdin.jsonl", "-m", "tiny-python", "-d")

    assert (started.code, again.code) == (0, 0)
    job_id = again.out.strip()
    told = again.err.splitlines()  # which is not that the rows were sent: they had been
    assert told == [
        f"In the dashboard:  http://localhost:{queueing.port}/#/jobs/{job_id}",
        f"In a terminal:     python -m cli watch {job_id[:8]}",
    ]
    job = json.loads((queueing.job_folder(started.out.strip()) / "job.json").read_text())
    assert job["description"] == "By hand"
    assert (job["training_config"]["num_epochs"], job["training_config"]["keep_epochs"]) == (2, 1)
    assert job["lora_config"]["target_modules"] == ["q_proj"]


def test_what_cannot_be_trained_on_starts_nothing(queueing: Server, lathe: Lathe, tmp_path: Path) -> None:
    (tmp_path / "bad.jsonl").write_text('{"prompt": "2 + 3?", "completion": "5"}\nnot json\n')
    before = queueing.get("/training/jobs").json()["total"]

    bad = lathe("train", "bad.jsonl", "-m", "tiny-python", "-d")
    nothing = lathe("train", "nothing.jsonl", "-m", "tiny-python", "-d")
    unknown = lathe(
        "train",
        "bad.jsonl",
        "-m",
        "tiny-python",
        "-d",
        "--set",
        "training_config.skip_invalid=true",
        "--set",
        "nonsense=1",
    )

    assert (bad.code, "line 2" in bad.err) == (1, True)
    assert (nothing.code, nothing.err) == (4, "nothing.jsonl is neither a file here nor a data set of the server\n")
    assert (unknown.code, "nonsense" in unknown.err) == (1, True)
    assert queueing.get("/training/jobs").json()["total"] == before
