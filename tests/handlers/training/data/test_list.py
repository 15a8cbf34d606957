"""Data sets as things: listed, looked into, deleted."""

import json

from tests.server import Server


def test_data_sets_are_listed_looked_into_and_deleted(queueing: Server) -> None:
    folder = queueing.root / "training_data" / "by-hand"
    folder.mkdir()
    rows = [{"instruction": "Add", "input": "1 and 2", "output": "3"}, {"instruction": "", "output": "x"}]
    (folder / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "eval.jsonl").write_text("{}")
    queueing.post("/training/data/upload", {"dataset_name": "uploaded", "train_texts": ["a", "b"]})

    listed = {each["dataset_name"]: each for each in queueing.get("/training/data").json()["datasets"]}
    shown = queueing.get("/training/data/by-hand").json()

    assert (listed["uploaded"]["num_texts"], listed["uploaded"]["num_jobs"]) == (2, 0)
    assert listed["by-hand"]["num_texts"] is None
    assert (shown["num_rows"], shown["num_usable"], shown["num_invalid"]) == (2, 1, 1)
    assert (shown["files"][0]["format"], shown["ignored_files"]) == ("alpaca", ["eval.jsonl"])
    assert shown["problems"][0]["line"] == 2

    assert queueing.delete("/training/data/by-hand").json()["status"] == "deleted"
    assert not folder.exists()
    assert queueing.get("/training/data/by-hand").json() == {
        "error": "Dataset by-hand not found: upload it with POST /api/training/data/upload"
    }
    assert queueing.get("/training/data/by-hand").status_code == 404


def test_a_broken_record_is_its_own_data_sets_problem(queueing: Server) -> None:
    queueing.post("/training/data/upload", {"dataset_name": "broken", "train_texts": ["a", "b"]})
    (queueing.root / "training_data" / "broken" / "dataset.json").write_text("{oops")

    listed = {each["dataset_name"]: each for each in queueing.get("/training/data").json()["datasets"]}

    assert listed["broken"]["problem"].startswith("broken/dataset.json: ")
    assert queueing.get("/training/data/broken").json()["num_usable"] == 2


def test_the_jobs_that_name_a_data_set_are_counted_and_found(queueing: Server) -> None:
    for name in ("used", "asked"):
        queueing.post("/training/data/upload", {"dataset_name": name, "train_texts": ["a", "b"]})
    evaluated = queueing.start(train_texts=None, dataset_name="used", eval_dataset_name="asked")
    trained = queueing.start(train_texts=None, dataset_name="used")
    queueing.post(f"/training/stop/{trained}")

    listed = {each["dataset_name"]: each["num_jobs"] for each in queueing.get("/training/data").json()["datasets"]}
    pages = {
        asked: queueing.get(f"/training/jobs?limit=1&dataset_name={asked}").json()
        for asked in ("used", "asked", "used&status=cancelled", "used&q=nothing-like-it", "never")
    }

    assert (listed["used"], listed["asked"]) == (2, 1)
    found = {asked: ([job["job_id"] for job in page["jobs"]], page["total"]) for asked, page in pages.items()}
    assert found == {
        "used": ([trained], 2),
        "asked": ([evaluated], 1),
        "used&status=cancelled": ([trained], 1),
        "used&q=nothing-like-it": ([], 0),
        "never": ([], 0),
    }
    rest = queueing.get(f"/training/jobs?limit=1&dataset_name=used&after={pages['used']['next']}").json()
    assert ([job["job_id"] for job in rest["jobs"]], rest["next"]) == ([evaluated], None)
