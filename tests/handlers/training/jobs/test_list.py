import asyncio
import json
from pathlib import Path
from types import SimpleNamespace

from litestar import Response

from handlers.training.jobs.list import list_jobs
from runtime.server.index import Index
from state.jobs import JobFolder
from state.root import DataRoot
from tests.server import Server


def test_jobs_are_listed_the_newest_first(queueing: Server) -> None:
    first, second = queueing.start(), queueing.start()

    reply = queueing.get("/training/jobs").json()

    assert [job["job_id"] for job in reply["jobs"]][:2] == [second, first]
    assert reply["total"] == len(reply["jobs"])
    assert set(reply["jobs"][0]) == {
        "job_id",
        "model_name",
        "status",
        "progress",
        "created_at",
        "started_at",
        "completed_at",
    }


def test_pages_hold_what_the_whole_list_holds(queueing: Server) -> None:
    for _ in range(3):
        queueing.start()
    whole = queueing.get("/training/jobs").json()
    assert (whole["complete"], whole["next"]) == (True, None)

    listed = []
    after: dict[str, str] = {}
    while True:
        page = queueing.get("/training/jobs", params={"limit": "2"} | after).json()
        assert page["total"] == whole["total"]
        listed += page["jobs"]
        if page["next"] is None:
            break
        assert page["next"] == page["jobs"][-1]["job_id"]
        after = {"after": page["next"]}

    assert [{name: row[name] for name in whole["jobs"][0]} for row in listed] == whole["jobs"]


def test_a_page_says_more_of_each_job(queueing: Server) -> None:
    first, second = queueing.start(adapter_name="one-that-waits"), queueing.start()
    ended = JobFolder(queueing.root / "training_jobs" / "job_ended")
    ended.path.mkdir()
    ended.metrics_file.write_text("".join(f'{{"step":{n},"epoch":1.0,"loss":{10000 - n}}}\n' for n in range(1, 5001)))
    ended.status_file.write_text(
        '{"status": "failed", "current_step": 7, "total_steps": 9, "metrics": {"train_loss": 1.5}, "epoch": 0.5,'
        ' "tokens_per_second": 12.5, "memory_mb": 99.0, "error_message": "It broke\\n\\nLast lines", '
        '"ends_at": "2026-01-01T00:00:00Z"}'
    )
    ended.job_file.write_text('{"model_name": "toy", "created_at": "2100-01-01T00:00:00Z"}')
    assert queueing.status("ended")["status"] == "failed"

    broken, newest, waiting = queueing.get("/training/jobs?limit=3").json()["jobs"]

    assert (waiting["adapter_name"], newest["adapter_name"]) == ("one-that-waits", f"tiny-python-{second[:8]}")
    assert (waiting["job_id"], newest["queue_position"] - waiting["queue_position"]) == (first, 1)
    assert waiting["queue_reason"] == "This server starts no jobs: --slots 0"
    told = ("adapter_name", "step", "total_steps", "epoch", "loss", "eval_loss", "tokens_per_second", "memory_mb")
    assert [broken[name] for name in told] == ["toy-ended", 7, 9, 0.5, 1.5, None, 12.5, 99.0]
    assert (broken["eta_s"], broken["queue_position"], broken["error_message"]) == (None, None, "It broke")
    spark = broken["spark"]
    assert (len(spark), spark[0], sorted(spark, reverse=True)) == (32, 9999, spark)
    assert 5000 <= spark[-1] < 5100
    assert queueing.delete("/training/jobs/ended").status_code == 200


def test_jobs_are_found_by_what_their_names_hold(queueing: Server) -> None:
    found = [queueing.start(adapter_name=f"searched-{n}") for n in range(3)]
    queueing.start()

    page = queueing.get("/training/jobs?q=SEARCHED&limit=2").json()
    rest = queueing.get(f"/training/jobs?q=SEARCHED&limit=2&after={page['next']}").json()

    assert [job["job_id"] for job in page["jobs"] + rest["jobs"]] == found[::-1]
    assert (page["total"], rest["next"]) == (3, None)
    assert queueing.get(f"/training/jobs?q={found[0]}").json()["total"] == 1
    assert queueing.get("/training/jobs?q=searched&status=completed").json()["total"] == 0


def test_a_page_of_one_status_counts_and_holds_only_that(queueing: Server) -> None:
    cancelled = queueing.start()
    queueing.post(f"/training/stop/{cancelled}")
    waiting = queueing.start()

    page = queueing.get("/training/jobs?status=cancelled").json()

    listed = {job["job_id"] for job in page["jobs"]}
    assert cancelled in listed
    assert waiting not in listed
    assert {job["status"] for job in page["jobs"]} == {"cancelled"}
    assert page["total"] == len(page["jobs"])


def test_a_page_that_cannot_be_meant_is_refused_in_words(queueing: Server) -> None:
    refusals = {
        "status=done": "status must not be 'done': use",
        "limit=0": "limit must be at least 1",
        "limit=many": "limit must be an integer",
        "after=nobody": "after: there is no job nobody",
        "page=2": "unknown query parameter page: there is status, limit, after, q",
    }
    for query, sentence in refusals.items():
        reply = queueing.get(f"/training/jobs?{query}")
        assert (reply.status_code, sentence in reply.json()["error"]) == (400, True), reply.text


def test_a_list_says_that_the_folders_are_still_being_read(tmp_path: Path) -> None:
    service = SimpleNamespace(index=Index(DataRoot.at(tmp_path)))  # as in a server that has just started

    async def asked() -> bytes:
        reply: Response[bytes] = await list_jobs.fn(service=service)
        return reply.content

    assert json.loads(asyncio.run(asked())) == {"jobs": [], "total": 0, "complete": False, "next": None}
