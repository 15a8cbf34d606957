import json
import threading
from typing import Any

import pytest

from tests.server import Server


def test_upload_keeps_the_texts_under_their_name(queueing: Server) -> None:
    reply = queueing.post("/training/data/upload", {"dataset_name": "my_dataset", "train_texts": ["a", "b"]})

    assert (reply.status_code, reply.json()) == (
        200,
        {
            "dataset_name": "my_dataset",
            "num_texts": 2,
            "status": "uploaded",
            "message": "Training data uploaded successfully with 2 texts",
        },
    )
    folder = queueing.root / "training_data" / "my_dataset"
    assert (folder / "train.jsonl").read_text() == '{"text":"a"}\n{"text":"b"}\n'


def test_upload_makes_a_name_where_none_is_given(queueing: Server) -> None:
    first, second = (
        queueing.post("/training/data/upload", {"train_texts": ["a"]}).json()["dataset_name"] for _ in range(2)
    )

    assert first != second
    assert (queueing.root / "training_data" / first / "dataset.json").exists()


def test_an_upload_of_the_same_name_replaces_the_texts_and_touches_no_job(queueing: Server) -> None:
    queueing.post("/training/data/upload", {"dataset_name": "again", "train_texts": ["old"]})
    job_id = queueing.start(train_texts=None, dataset_name="again")

    queueing.post("/training/data/upload", {"dataset_name": "again", "train_texts": ["new"]})

    assert (queueing.root / "training_data" / "again" / "train.jsonl").read_text() == '{"text":"new"}\n'
    assert (queueing.job_folder(job_id) / "data" / "train.jsonl").read_text() == '{"text":"old"}\n'


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({}, "train_texts is required"),
        ({"train_texts": "text"}, "train_texts must be a list"),
        ({"train_texts": []}, "train_texts must hold at least one text"),
        ({"train_texts": ["fine", ""]}, "train_texts[1] must not be empty"),
        ({"train_texts": ["fine"], "dataset_name": "../up"}, "dataset_name '../up' is not a valid name"),
        ({"train_texts": ["fine"], "dataset_name": 3}, "dataset_name must be a string"),
    ],
)
def test_upload_refuses_what_cannot_be_data(queueing: Server, body: dict[str, Any], error: str) -> None:
    before = set((queueing.root / "training_data").iterdir())

    reply = queueing.post("/training/data/upload", body)

    assert reply.status_code == 400
    assert error in reply.json()["error"]
    assert set((queueing.root / "training_data").iterdir()) == before


@pytest.mark.parametrize("exists", [False, True])
def test_of_two_uploads_at_once_both_succeed_and_one_of_them_is_there_whole(queueing: Server, exists: bool) -> None:  # noqa: FBT001
    name = f"raced-{exists}"
    folder = queueing.root / "training_data" / name
    if exists:
        queueing.post("/training/data/upload", {"dataset_name": name, "train_texts": ["old"]})
        (folder / "notes.txt").write_text("my own")
    replies = []

    def upload(num_texts: int) -> None:
        for _ in range(10):
            body = {"dataset_name": name, "train_texts": [f"of {num_texts}"] * num_texts}
            replies.append(queueing.post("/training/data/upload", body))

    threads = [threading.Thread(target=upload, args=(num_texts,)) for num_texts in (2, 3, 4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    texts = [json.loads(line)["text"] for line in (folder / "train.jsonl").read_text().splitlines()]
    assert {reply.status_code for reply in replies} == {200}
    assert texts == [f"of {len(texts)}"] * json.loads((folder / "dataset.json").read_text())["num_texts"]
    assert (folder / "notes.txt").exists() == exists
    assert not [path for path in folder.parent.iterdir() if path.name.startswith(".")]
