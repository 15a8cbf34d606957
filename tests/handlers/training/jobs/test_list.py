import asyncio
import json
from pathlib import Path
from types import SimpleNamespace

from litestar import Response

from handlers.training.jobs.list import list_jobs
from runtime.server.index import Index
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

    assert listed == whole["jobs"]


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
        "page=2": "unknown query parameter page: there is status, limit, after",
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
