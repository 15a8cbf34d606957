import json
import threading
from collections.abc import Callable
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
            "format": "text",
            "num_skipped": 0,
            "problems": [],
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


CHATS = [
    {"messages": [{"role": "user", "content": f"What is {n}?"}, {"role": "assistant", "content": f"It is {n}."}]}
    for n in range(4)
]
JSONL = "".join(json.dumps(row) + "\n" for row in CHATS).encode()
WRONG = b'{"messages": [{"role": "user", "content": "?"}]}\n'


def _upload(server: Server, content: bytes, kind: str = "application/jsonl", **query: str) -> Any:
    return server.http.post(
        "/training/data/upload",
        content=content,
        headers={"Content-Type": kind},
        params={"dataset_name": "sent", **query},
    )


def test_a_file_of_rows_is_the_body_itself(queueing: Server) -> None:
    reply = _upload(queueing, JSONL)

    assert reply.status_code == 200, reply.text
    assert reply.json() | {"problems": None} == {
        "dataset_name": "sent",
        "num_texts": 4,
        "status": "uploaded",
        "message": "Training data uploaded successfully with 4 rows",
        "format": "chat",
        "num_skipped": 0,
        "problems": None,
    }
    assert (queueing.root / "training_data" / "sent" / "train.jsonl").read_bytes() == JSONL


def test_a_file_of_rows_comes_in_a_form(queueing: Server) -> None:
    rows = b"prompt,completion\nWhat is 1?,One\nWhat is 2?,Two\n"

    reply = queueing.http.post(
        "/training/data/upload", files={"file": ("mine.csv", rows)}, data={"dataset_name": "formed"}
    )

    assert reply.status_code == 200, reply.text
    assert (reply.json()["num_texts"], reply.json()["format"]) == (2, "prompt_completion")
    assert (queueing.root / "training_data" / "formed" / "train.csv").read_bytes() == rows


def test_columns_of_other_names_are_mapped_and_stay_so(queueing: Server) -> None:
    rows = b"question,answer\nWhat is 1?,One\n"

    refused = _upload(queueing, rows, "text/csv", dataset_name="mapped").json()["error"]
    mapping = '{"prompt": "question", "completion": "answer"}'
    mapped = _upload(queueing, rows, "text/csv", dataset_name="mapped", columns=mapping)

    assert mapping in refused
    assert (mapped.status_code, mapped.json()["format"]) == (200, "prompt_completion")
    job_id = queueing.start(train_texts=None, dataset_name="mapped")
    copied = json.loads((queueing.job_folder(job_id) / "data" / "train.jsonl").read_text())
    assert copied == {"prompt": "What is 1?", "completion": "One"}


def test_another_file_of_rows_replaces_the_one_of_another_kind(queueing: Server) -> None:
    _upload(queueing, JSONL, dataset_name="kinds")
    folder = queueing.root / "training_data" / "kinds"
    (folder / "notes.txt").write_text("my own")
    (folder / "dataset_info.json").write_text("{}")
    (folder / "old").mkdir()
    (folder / "old" / "rows.jsonl").write_bytes(JSONL)
    kept = {"dataset.json", "dataset_info.json", "notes.txt", "old"}

    assert _upload(queueing, b"text\nhello world\n", "text/csv", dataset_name="kinds").status_code == 200

    assert {path.name for path in folder.iterdir()} == kept | {"train.csv"}
    assert (folder / "old" / "rows.jsonl").exists()


def test_preferences_start_a_job_with_the_method_that_they_go_with(queueing: Server) -> None:
    row = {"prompt": "2 + 3?", "chosen": "5", "rejected": "6"}
    assert _upload(queueing, json.dumps(row).encode(), dataset_name="preferred").json()["format"] == "preference"
    request = {"model_name": "tiny-python", "dataset_name": "preferred"}
    before = set((queueing.root / "training_jobs").iterdir())

    refused = queueing.post("/training/start", request)

    assert (refused.status_code, refused.json()) == (
        400,
        {"error": 'preferred holds preferences: set training_config.method to "dpo" to train on them'},
    )
    assert set((queueing.root / "training_jobs").iterdir()) == before
    accepted = queueing.post("/training/start", request | {"training_config": {"method": "dpo"}})
    assert accepted.status_code == 200, accepted.text


def test_rows_that_cannot_be_used_fail_the_upload_by_their_lines_or_are_skipped(queueing: Server) -> None:
    before = set((queueing.root / "training_data").iterdir())

    refused = _upload(queueing, JSONL + WRONG + b"{\n", dataset_name="partly")
    assert refused.status_code == 400
    assert "line 5" in refused.json()["error"]
    assert "line 6" in refused.json()["error"]
    assert set((queueing.root / "training_data").iterdir()) == before

    skipped = _upload(queueing, JSONL + WRONG + b"{\n", dataset_name="partly", skip_invalid="true").json()
    assert (skipped["num_texts"], skipped["num_skipped"]) == (4, 2)
    assert [problem["line"] for problem in skipped["problems"]] == [5, 6]
    assert queueing.start(train_texts=None, dataset_name="partly")


@pytest.mark.parametrize(
    ("content", "kind", "query", "status", "error"),
    [
        (b"", "application/jsonl", {}, 400, "train.jsonl is empty"),
        (b"x", "text/plain", {}, 415, "with its Content-Type"),
        (b"{}", "application/octet-stream", {}, 400, "file_name is required"),
        (b"{}", "application/octet-stream", {"file_name": "rows.xlsx"}, 400, "no kind of file that Lathe reads"),
        (JSONL, "application/jsonl", {"dataset_name": "../up"}, 400, "not a valid name"),
        (b"--x--", "multipart/form-data; boundary=x", {}, 400, "no file"),
        (b"PAR1", "multipart/form-data", {}, 400, "boundary"),
        (b"a,b", "text/csv", {"columns": "prompt=a"}, 400, "columns must be JSON"),
        (JSONL, "application/jsonl", {"skip_invalid": "maybe"}, 400, "skip_invalid"),
    ],
)
def test_files_that_are_no_rows_are_refused_in_words(
    queueing: Server, content: bytes, kind: str, query: dict[str, str], status: int, error: str
) -> None:
    before = set((queueing.root / "training_data").iterdir())

    reply = _upload(queueing, content, kind, **query)

    assert (reply.status_code, set(reply.json())) == (status, {"error"})
    assert error in reply.json()["error"]
    assert set((queueing.root / "training_data").iterdir()) == before


def test_a_warm_up_is_checked_against_the_rows_of_the_data_set(queueing: Server) -> None:
    _upload(queueing, JSONL, dataset_name="four")
    body: dict[str, Any] = {"model_name": "tiny-python", "dataset_name": "four"}
    settings = {"num_epochs": 1, "gradient_accumulation_steps": 1}

    fits = queueing.post("/training/start", body | {"training_config": settings | {"warmup_steps": 4}})
    longer = queueing.post("/training/start", body | {"training_config": settings | {"warmup_steps": 5}})

    assert fits.status_code == 200, fits.text
    assert longer.status_code == 400
    assert "the run has only 4 steps" in longer.json()["error"]


def test_a_file_larger_than_any_other_body_is_taken(start_server: Callable[..., Server]) -> None:
    server = start_server("--slots", "0", "--max-body-mb", "1")
    line = json.dumps({"text": "word " * 2000}) + "\n"

    reply = _upload(server, (line * 300).encode())

    assert (reply.status_code, reply.json()["num_texts"]) == (200, 300)
