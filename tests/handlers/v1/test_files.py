import json
from datetime import timedelta
from pathlib import Path

import openai
import pytest

from state import clock, store, uploaded_files
from state.root import DataRoot
from tests.server import Server

GOOD = [
    {"messages": [{"role": "user", "content": f"{n}?"}, {"role": "assistant", "content": "Yes."}]} for n in range(3)
]


def _lines(rows: list[object]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def test_a_file_is_kept_as_it_came_until_it_is_deleted(client: openai.OpenAI, serving: Server) -> None:
    content = b"\xef\xbb\xbf" + _lines([*GOOD]).replace(b"\n", b"\r\n")

    kept = client.files.create(file=("chats.jsonl", content), purpose="fine-tune")

    assert (kept.bytes, kept.filename, kept.purpose, kept.status) == (
        len(content),
        "chats.jsonl",
        "fine-tune",
        "processed",
    )
    assert client.files.wait_for_processing(kept.id).status_details is None
    assert client.files.retrieve(kept.id) == kept
    assert client.files.content(kept.id).read() == content
    assert serving.get(f"/training/data/{kept.id}").json()["num_usable"] == 3
    assert client.files.delete(kept.id).deleted
    with pytest.raises(openai.NotFoundError, match=f"No such File object: {kept.id}"):
        client.files.retrieve(kept.id)
    assert not (serving.root / "training_data" / kept.id).exists()


def test_a_file_with_wrong_rows_names_them_by_their_lines(client: openai.OpenAI) -> None:
    wrong = [{"messages": [{"role": "humann", "content": "Hi"}]}, {"messages": []}]

    kept = client.files.create(file=_lines([*GOOD, *wrong]), purpose="fine-tune")

    assert (kept.status, kept.filename) == ("error", "upload.jsonl")
    assert kept.status_details is not None
    assert "line 4, messages[0].role: 'humann' is not a role" in kept.status_details
    assert "line 5" in kept.status_details


def test_files_are_listed_page_by_page_the_newest_first(client: openai.OpenAI) -> None:
    for file in client.files.list():
        client.files.delete(file.id)
    made = [client.files.create(file=_lines([*GOOD]), purpose="fine-tune").id for _ in range(3)]

    assert {file.id for file in client.files.list(limit=2)} == set(made)
    first = client.files.list(limit=2)
    assert (len(first.data), first.has_more) == (2, True)
    ascending = [file.id for file in client.files.list(limit=1, order="asc")]
    assert ascending == [file.id for file in client.files.list()][::-1]
    assert list(client.files.list(purpose="fine-tune-results")) == []
    for query, sentence, param in (
        ({"after": "file-gone"}, "begin again without it", "after"),
        ({"limit": 0}, "limit must be at least 1", "limit"),
        ({"colour": "red"}, "unknown query parameter colour", "colour"),
    ):
        with pytest.raises(openai.BadRequestError, match=sentence) as refused:
            client.files.list(extra_query=query)
        assert refused.value.param == param


def test_a_file_whose_time_is_over_is_gone(client: openai.OpenAI, serving: Server) -> None:
    kept = client.files.create(
        file=_lines([*GOOD]), purpose="fine-tune", expires_after={"anchor": "created_at", "seconds": 3600}
    )
    assert kept.expires_at == kept.created_at + 3600
    file = uploaded_files.find(DataRoot.at(serving.root), kept.id)
    expired = store.read_as_written(file.folder / "file.json") | {"expires_at": clock.now() - timedelta(seconds=1)}
    store.write(file.folder / "file.json", expired)

    with pytest.raises(openai.NotFoundError):
        client.files.retrieve(kept.id)
    assert kept.id not in {file.id for file in client.files.list()}
    client.files.create(file=_lines([*GOOD]), purpose="fine-tune")
    assert not file.folder.exists()


@pytest.mark.parametrize(
    ("form", "sentence"),
    [
        ({}, 'purpose is required: this server keeps files to train on, whose purpose is "fine-tune"'),
        ({"purpose": "vision"}, "purpose is 'vision': this server keeps files to train on"),
        ({"purpose": "fine-tune", "colour": "red"}, "unknown field colour"),
        ({"purpose": "fine-tune", "expires_after[anchor]": "now"}, 'expires_after[anchor] must be "created_at"'),
        (
            {"purpose": "fine-tune", "expires_after[anchor]": "created_at", "expires_after[seconds]": "5"},
            "expires_after[seconds] must be a number from 3600 to 2592000",
        ),
    ],
)
def test_a_form_that_says_what_cannot_be_is_refused_and_leaves_nothing(
    serving: Server, form: dict[str, str], sentence: str
) -> None:
    before = _entries(serving.root)

    reply = serving.http.post(
        f"http://localhost:{serving.port}/v1/files", data=form, files={"file": ("a.jsonl", _lines([*GOOD]))}
    )

    assert reply.status_code == 400
    assert sentence in reply.json()["error"]["message"]
    assert _entries(serving.root) == before


def test_a_file_of_a_kind_that_is_not_read_is_refused(client: openai.OpenAI, serving: Server) -> None:
    before = _entries(serving.root)

    with pytest.raises(openai.BadRequestError, match=r"notes\.docx is no kind of file that Lathe reads"):
        client.files.create(file=("notes.docx", b"PK"), purpose="fine-tune")

    assert _entries(serving.root) == before


def _entries(root: Path) -> list[str]:
    return sorted(path.name for path in (root / "training_data").iterdir())
