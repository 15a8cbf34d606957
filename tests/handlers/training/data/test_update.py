import json
from pathlib import Path

import pytest

from state import training_data
from state.root import DataRoot
from tests.server import Server


def test_a_data_set_is_renamed_with_all_that_is_in_its_folder_and_jobs_keep_their_copies(queueing: Server) -> None:
    queueing.post("/training/data/upload", {"dataset_name": "before", "train_texts": ["a", "b"]})
    folder = queueing.root / "training_data" / "before"
    (folder / "notes.txt").write_text("my own")
    record = folder / "dataset.json"
    record.write_text(json.dumps(json.loads(record.read_text()) | {"note": "my own key"}))
    job_id = queueing.start(train_texts=None, dataset_name="before")

    reply = queueing.patch("/training/data/before", dataset_name="after")

    assert reply.status_code == 200, reply.text
    after = queueing.root / "training_data" / "after"
    listed = {each["dataset_name"]: each for each in queueing.get("/training/data").json()["datasets"]}
    assert reply.json() == listed["after"]
    assert (listed["after"]["num_texts"], listed["after"]["path"]) == (2, "./training_data/after")
    assert "before" not in listed
    assert (after / "notes.txt").read_text() == "my own"
    written = json.loads((after / "dataset.json").read_text())
    assert (written["dataset_name"], written["num_texts"], written["note"]) == ("after", 2, "my own key")
    assert queueing.get("/training/data/before").status_code == 404
    assert queueing.status(job_id)["status"] == "pending"
    assert (queueing.job_folder(job_id) / "data" / "train.jsonl").exists()


@pytest.mark.parametrize(
    ("name", "changes", "status", "error"),
    [
        ("kept", {}, 400, "dataset_name is required"),
        ("kept", {"dataset_name": "other"}, 400, "dataset_name 'other' is taken: choose another, or delete that"),
        ("kept", {"dataset_name": "hollow"}, 400, "dataset_name 'hollow' is taken"),
        ("kept", {"dataset_name": "../up"}, 400, "dataset_name '../up' is not a valid name"),
        ("kept", {"dataset_name": "upload"}, 400, "dataset_name 'upload' is reserved: it is a word of the API's URLs"),
        ("kept", {"dataset_name": "new", "colour": "red"}, 400, "unknown field colour"),
        ("nothing", {"dataset_name": "new"}, 404, "Dataset nothing not found"),
    ],
)
def test_a_name_that_a_data_set_cannot_have_is_refused_and_nothing_changes(
    queueing: Server, name: str, changes: dict[str, object], status: int, error: str
) -> None:
    for each in ("kept", "other"):
        queueing.post("/training/data/upload", {"dataset_name": each, "train_texts": [each]})
    (queueing.root / "training_data" / "hollow").mkdir(exist_ok=True)  # a rename would replace it
    before = queueing.get("/training/data").json()

    reply = queueing.patch(f"/training/data/{name}", **changes)

    assert (reply.status_code, reply.json()["error"][: len(error)]) == (status, error)
    assert queueing.get("/training/data").json() == before


def test_a_broken_record_is_left_as_it_is_and_a_data_set_made_by_hand_gets_none(tmp_path: Path) -> None:
    root = DataRoot.at(tmp_path)
    root.create()
    for name, record in (("broken", "{oops"), ("by-hand", None)):
        (root.training_data / name).mkdir()
        (root.training_data / name / "rows.jsonl").write_text('{"text": "a"}\n')
        if record:
            (root.training_data / name / "dataset.json").write_text(record)

        training_data.rename(root, name, f"{name}-2")

    assert training_data.all_names(root) == ["broken-2", "by-hand-2"]
    assert (root.training_data / "broken-2" / "dataset.json").read_text() == "{oops"
    assert [path.name for path in (root.training_data / "by-hand-2").iterdir()] == ["rows.jsonl"]
