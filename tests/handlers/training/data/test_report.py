"""The report and the preview as they are asked for. What is in them is tested where they are made."""

import json
import shutil
from collections.abc import Iterator

import pytest

from tests.processes import on_linux
from tests.server import CHECKOUT, Client, Server, wait_until

CHATS = "".join(
    json.dumps({"messages": [{"role": "user", "content": f"What is {n}?"}, {"role": "assistant", "content": "It is."}]})
    + "\n"
    for n in (1, 2, 2)
)
ENDLESS = "{% for _ in range(99999) %}" * 4 + "{% endfor %}" * 4
"""A chat template that takes years to fill in."""


@pytest.fixture(scope="module", autouse=True)
def _chats(queueing: Server) -> Iterator[None]:
    """A data set, and a base model without a tokenizer. Both go again: other tests count the models, and one process
    may run tests of this file twice, with others between them.
    """
    bare = queueing.root / "models" / "bare"
    bare.mkdir()
    shutil.copy(CHECKOUT / "models" / "tiny-python" / "config.json", bare)
    folder = queueing.root / "training_data" / "told"
    folder.mkdir()
    (folder / "train.jsonl").write_text(CHATS)
    (folder / "eval.jsonl").write_text(CHATS.splitlines()[0])
    yield
    shutil.rmtree(bare)
    shutil.rmtree(folder)


def test_a_data_set_is_reported_on_and_shown_and_nothing_is_made(queueing: Server) -> None:
    before = sorted(queueing.root.rglob("*"))

    report = queueing.get("/training/data/told/report", params={"model_name": "tiny-python"})
    preview = queueing.get("/training/data/told/preview", params={"model_name": "tiny-python", "first": 2, "rows": 1})

    assert report.status_code == preview.status_code == 200, report.text + preview.text
    told = report.json()
    assert (told["num_rows"], told["num_learned"], told["formats"], told["asked"]["template"]) == (
        3,
        3,
        ["chat"],
        "model",
    )
    assert {finding["id"]: finding["count"] for finding in told["findings"]} == {
        "duplicate": 1,
        "eval_leak": 1,
        "eval_prompt_leak": 1,
    }
    page = preview.json()
    assert [[piece["text"] for piece in row["sequences"][0]["pieces"]] for row in page["rows"]] == [
        ["### Instruction:\nWhat is 2?\n\n### Response:\n", "It is.<|endoftext|>"]
    ]
    assert page["next"] == {"file": "train.jsonl", "first": 3}
    assert sorted(queueing.root.rglob("*")) == before


@pytest.mark.parametrize(
    ("path", "status", "error"),
    [
        ("nothing/report?model_name=tiny-python", 404, "Dataset nothing not found: upload it with"),
        ("nothing/preview?model_name=tiny-python", 404, "Dataset nothing not found: upload it with"),
        ("told/report?model_name=nothing", 400, "Model nothing not available"),
        ("told/preview?model_name=nothing", 400, "Model nothing not available"),
        ("told/report?model_name=bare", 400, "The tokenizer of bare cannot be loaded: "),
        ("told/report", 400, "Missing required query parameter 'model_name'"),
        ("told/report?model_name=tiny-python&max_seq_length=1", 400, "max_seq_length must be at least 2"),
        ("told/report?model_name=tiny-python&learn=some", 400, "learn must not be 'some': use \"all\" or"),
        ("told/report?model_name=tiny-python&colour=red", 400, "unknown query parameter colour: there is model_name"),
        ("told/preview?model_name=tiny-python&first=0", 400, "first must be at least 1"),
        ("told/preview?model_name=tiny-python&rows=101", 400, "rows must be at most 100"),
    ],
)
def test_what_cannot_be_told_is_refused_in_words(queueing: Server, path: str, status: int, error: str) -> None:
    reply = queueing.get(f"/training/data/{path}")

    assert (reply.status_code, list(reply.json()), reply.json()["error"][: len(error)]) == (status, ["error"], error)


@on_linux
def test_a_client_that_goes_away_stops_its_report(queueing: Server) -> None:
    endless = queueing.root / "models" / "endless"
    shutil.copytree(CHECKOUT / "models" / "tiny-python", endless)
    (endless / "chat_template.jinja").write_text(ENDLESS)  # else the report would soon end by itself
    asking = Client(queueing, "/training/data/told/report?model_name=endless")
    wait_until(lambda: bool(queueing.asked("runtime.trainer.data.report")), "the rows are being read")

    asking.go_away()

    wait_until(lambda: not queueing.asked("runtime.trainer.data.report"), "it is given up")
    shutil.rmtree(endless)
