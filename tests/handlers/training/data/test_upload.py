import gzip
import http.client
import json
import threading
from collections.abc import Callable
from typing import Any

import pytest

from tests.server import PATIENCE_S, Server


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
        ({"train_texts": ["fine"], "dataset_name": "upload"}, "dataset_name 'upload' is reserved: it is a word of the"),
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


def test_a_data_set_has_rows_to_train_on_and_rows_to_evaluate_on(queueing: Server) -> None:
    rows = b"question,answer\nWhat is 1?,One\n"
    mapping = '{"prompt": "question", "completion": "answer"}'
    _upload(queueing, rows, "text/csv", dataset_name="both", columns=mapping)

    by_query = _upload(queueing, rows, "text/csv", dataset_name="both", split="eval").json()
    by_form = queueing.http.post(
        "/training/data/upload",
        files={"file": ("mine.csv.gz", gzip.compress(b"question,answer\nWhat is 2?,Two\nWhat is 3?,Three\n"))},
        data={"dataset_name": "both", "split": "eval"},
    ).json()

    assert (by_query["num_texts"], by_form["num_texts"], by_form["format"]) == (1, 2, "prompt_completion")
    assert by_form["message"] == "Evaluation data uploaded successfully with 2 rows"
    folder = queueing.root / "training_data" / "both"
    assert {path.name for path in folder.iterdir()} == {"train.csv", "eval.csv.gz", "dataset.json"}
    job = queueing.job_folder(queueing.start(train_texts=None, dataset_name="both")) / "data"
    assert json.loads((job / "train.jsonl").read_text()) == {"prompt": "What is 1?", "completion": "One"}
    evaluated = [json.loads(line)["completion"] for line in (job / "eval.jsonl").read_text().splitlines()]
    assert evaluated == ["Two", "Three"]

    _upload(queueing, rows, "text/csv", dataset_name="both", columns=mapping)
    assert {path.name for path in folder.iterdir()} == {"train.csv", "eval.csv.gz", "dataset.json"}


def test_texts_to_train_on_and_to_evaluate_on_come_in_one_request(queueing: Server) -> None:
    body = {"dataset_name": "texts", "train_texts": ["a", "b"], "eval_texts": ["c"]}

    assert queueing.post("/training/data/upload", body).json()["num_texts"] == 2

    job = queueing.job_folder(queueing.start(train_texts=None, dataset_name="texts")) / "data"
    assert (job / "train.jsonl").read_text() == '{"text":"a"}\n{"text":"b"}\n'
    assert (job / "eval.jsonl").read_text() == '{"text":"c"}\n'


def test_an_upload_for_evaluation_does_not_take_back_the_rows_to_train_on_that_come_at_once(queueing: Server) -> None:
    folder = queueing.root / "training_data" / "parted"

    def upload(split: str, number: int) -> None:
        _upload(queueing, json.dumps({"text": f"{number}"}).encode(), dataset_name="parted", split=split)

    upload("train", 0)
    for number in range(1, 21):
        threads = [threading.Thread(target=upload, args=(split, number)) for split in ("train", "eval")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert json.loads((folder / "train.jsonl").read_text())["text"] == f"{number}"


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
        (JSONL, "application/jsonl", {"split": "test"}, 400, 'split must not be \'test\': use "train" or "eval"'),
        (JSONL, "application/jsonl", {"split": "eval", "dataset_name": "none"}, 400, "Dataset none not found"),
        (JSONL, "application/jsonl", {"split": "eval", "skip_invalid": "true"}, 400, "are those of the data set"),
        (b"{}", "application/json", {"split": "eval"}, 400, "split is for files: beside train_texts, send eval_texts"),
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


@pytest.mark.parametrize(
    ("field", "error"),
    [
        ({"splitt": "eval"}, "unknown field splitt: there is file, dataset_name, columns, skip_invalid, split"),
        ({"file_name": "rows.csv"}, "unknown field file_name"),
        ({"skip_invalid": "maybe"}, "skip_invalid must be true or false, but is 'maybe'"),
    ],
)
def test_what_a_form_cannot_say_is_refused_and_the_data_set_stays(
    queueing: Server, field: dict[str, str], error: str
) -> None:
    _upload(queueing, JSONL, dataset_name="said")
    form = {"dataset_name": "said"} | field

    reply = queueing.http.post("/training/data/upload", files={"file": ("a.jsonl", b'{"text": "b"}')}, data=form)

    assert reply.status_code == 400
    assert error in reply.json()["error"]
    assert (queueing.root / "training_data" / "said" / "train.jsonl").read_bytes() == JSONL
    form = {"dataset_name": "said", "skip_invalid": "True"}
    taken = queueing.http.post("/training/data/upload", files={"file": ("a.jsonl", JSONL + WRONG)}, data=form)
    assert taken.json()["num_skipped"] == 1


@pytest.mark.parametrize(
    ("query", "kind", "error"),
    [
        ("columns=oops", "text/csv", "columns must be JSON"),
        ("columns=%7B%22nose%22:%22a%22%7D", "text/csv", "nose"),
        ("dataset_name=.up", "text/csv", "not a valid name"),
        ("file_name=rows.xlsx", "text/csv", "no kind of file that Lathe reads"),
        ("dataset_name=a", "application/octet-stream", "file_name is required"),
        ("split=eval", "text/csv", "dataset_name is required"),
        ("split=eval&dataset_name=none", "multipart/form-data; boundary=x", "Dataset none not found"),
    ],
)
def test_what_the_query_says_is_refused_before_the_file_is_sent(
    queueing: Server, query: str, kind: str, error: str
) -> None:
    connection = http.client.HTTPConnection("localhost", queueing.port, timeout=PATIENCE_S)
    connection.putrequest("POST", f"/api/training/data/upload?{query}")
    connection.putheader("Content-Type", kind)
    connection.putheader("Content-Length", "1000000")
    connection.endheaders()  # and no body: a server that waits for it never answers

    reply = connection.getresponse()

    assert reply.status == 400
    assert error in json.loads(reply.read())["error"]
    connection.close()


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
