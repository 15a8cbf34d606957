"""Rows of every kind: what is learned is what the model has to write, and it is asked as it was trained."""

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from runtime.inference.engine import Engine
from runtime.messages.inference import AdapterFiles, Generate, Message, SamplingParameters
from runtime.model.chat import ChatTemplate
from runtime.model.tokenizers import load_tokenizer
from runtime.trainer.documents import Document
from runtime.trainer.token_files import TokenFiles, TokenWriter
from runtime.trainer.tokenizing import About, Counts, Tokenizer
from state import adapters, jobs
from state.errors import ServiceError
from state.jobs import JobFolder
from state.root import DataRoot
from state.row_source import RowSource
from tests import chats
from tests import jobs as made
from tests.completing import together
from tests.server import CHECKOUT

TINY = CHECKOUT / "models" / "tiny-python"


def _chat(question: str, answer: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]}


def _write(file: Path, *rows: dict[str, Any]) -> RowSource:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return RowSource(file.name, str(file))


def _tokenizer(**changes: Any) -> Tokenizer:
    tokenizer = load_tokenizer(str(TINY))
    how = Tokenizer(
        tokenizer,
        ChatTemplate(tokenizer),
        frozenset({tokenizer.eos_token_id}),
        datetime(2026, 1, 1, tzinfo=UTC),
        max_seq_length=100,
        learn=None,
        on_too_long=None,
        skip_invalid=False,
    )
    return structs.replace(how, **changes)


def _learned(how: Tokenizer, rows: TokenFiles) -> list[str]:
    spans = [document.tokens[begin:end] for row in rows for document in row for begin, end in document.spans]
    return [str(how.tokenizer.decode(span)) for span in spans]


def _job(root: Path, *rows: dict[str, Any], **fields: Any) -> JobFolder:
    folder = made.make(root, **fields)
    _write(folder.train_file, *rows)
    return folder


def test_a_model_trained_on_chats_answers_with_what_it_learned_and_stops(tmp_path: Path) -> None:
    shutil.copytree(TINY, tmp_path / "models" / "tiny-python")
    rows = [_chat("What is red?", "A color."), _chat("What is two?", "A number.")]
    training = {"max_steps": 60, "learning_rate": 0.005, "batch_size": 2, "gradient_accumulation_steps": 1}
    folder = _job(
        tmp_path,
        *rows,
        model_name="tiny-python",
        adapter_name="chatty",
        training_config=training,
        lora_config={"r": 16, "lora_alpha": 32, "target_modules": "all-linear"},
    )

    made.train_here(folder)

    adapter = adapters.read(DataRoot.at(tmp_path), tmp_path / "adapters" / "chatty")
    files = AdapterFiles(str(adapter.path), "1")
    asked = [
        Generate(
            id=number,
            source=str(tmp_path / "models" / "tiny-python"),
            adapter=files,
            prompt=[Message("user", question)],
            sampling=SamplingParameters(max_new_tokens=20),
            chat=adapter.chat,
        )
        for number, question in enumerate(["What is red?", "What is two?"])
    ]
    answers = together(Engine(tmp_path / "bases"), asked)
    assert [(answer.text, answer.finish_reason) for answer in answers] == [("A color.", "stop"), ("A number.", "stop")]


def test_what_is_learned_of_each_kind_of_row(tmp_path: Path) -> None:
    how = _tokenizer()
    end = how.tokenizer.eos_token
    found = {}
    for name, row in {
        "text": {"text": "def f(): pass"},
        "prompt_completion": {"prompt": "def f(", "completion": "x): pass"},
        "alpaca": {"instruction": "Say", "output": "It"},
    }.items():
        tokenized = how.tokenize(_write(tmp_path / f"{name}.jsonl", row), tmp_path / name)
        found[name] = _learned(how, tokenized.rows)

    assert found["text"][0].endswith(f"pass{end}")
    assert found["prompt_completion"] == [f"x): pass{end}"]
    assert found["alpaca"][0].startswith("It")
    assert len(found["alpaca"]) == 1


def test_all_documents_of_a_row_are_in_one_step(tmp_path: Path) -> None:
    """A template that drops old thoughts makes each answer a document of its own."""
    tokenizer = chats.tokenizer("qwen3")
    turns = [
        {"role": role, "content": content}
        for role, content in [("user", "a?"), ("assistant", "<think>x</think>b"), ("user", "c?"), ("assistant", "d")]
    ]
    how = _tokenizer(tokenizer=tokenizer, template=ChatTemplate(tokenizer), max_seq_length=1000)
    source = _write(tmp_path / "chats.jsonl", {"messages": turns}, _chat("e?", "f"))

    rows = how.tokenize(source, tmp_path / "tokens").rows

    assert [len(documents) for documents in rows] == [2, 1]
    assert [rows.line(0), rows.line(1)] == [1, 2]


def test_tokens_are_made_once_and_again_for_other_data_or_settings(tmp_path: Path) -> None:
    folder, how = tmp_path / "tokens", _tokenizer()
    source = _write(tmp_path / "rows.jsonl", _chat("a?", "b"))
    how.tokenize(source, folder)
    first = folder.stat().st_ino

    again = how.tokenize(source, folder)
    assert folder.stat().st_ino == first
    assert len(again.rows) == 1

    how.tokenize(_write(tmp_path / "rows.jsonl", _chat("a?", "c")), folder)
    second = folder.stat().st_ino
    assert second != first

    structs.replace(how, learn="all").tokenize(source, folder)
    assert folder.stat().st_ino != second


@pytest.mark.parametrize(
    ("on_too_long", "left"), [("cut", ["long", "short"]), ("drop", ["short"]), (None, None), ("refuse", None)]
)
def test_answers_that_are_too_long_are_refused_unless_the_job_says_otherwise(
    tmp_path: Path, on_too_long: Any, left: list[str] | None
) -> None:
    how = _tokenizer(on_too_long=on_too_long, max_seq_length=30)
    source = _write(tmp_path / "rows.jsonl", _chat("?", "la " * 100), _chat("?", "short"))

    if left is None:
        with pytest.raises(ServiceError, match=r"1 of 2 rows are longer than max_seq_length, 30 tokens.*line 1"):
            how.tokenize(source, tmp_path / "tokens")
        assert not (tmp_path / "tokens").exists()
        return
    tokenized = how.tokenize(source, tmp_path / "tokens")
    counts = tokenized.counts
    assert (len(tokenized.rows), counts.num_cut, counts.num_dropped) == (len(left), len(left) - 1, 2 - len(left))
    assert all(len(document) <= 30 for row in tokenized.rows for document in row)


def test_texts_that_are_too_long_are_cut(tmp_path: Path) -> None:
    tokenized = _tokenizer(max_seq_length=30).tokenize(
        _write(tmp_path / "rows.jsonl", {"text": "la " * 100}), tmp_path / "tokens"
    )

    [[document]] = list(tokenized.rows)
    assert (len(document), document.spans, tokenized.counts.num_cut) == (30, [(1, 30)], 1)


def test_rows_that_cannot_be_learned_exactly_are_refused_by_line_or_skipped(tmp_path: Path) -> None:
    how = _tokenizer()
    source = _write(tmp_path / "rows.jsonl", _chat("a?", "b"), _chat("a?", f"b{how.tokenizer.eos_token}c"))

    with pytest.raises(ServiceError, match=r"rows.jsonl line 2: .* at which answers end. 1 of 2 rows"):
        how.tokenize(source, tmp_path / "tokens")

    kept = structs.replace(how, skip_invalid=True).tokenize(source, tmp_path / "tokens")
    assert (len(kept.rows), kept.counts.num_refused) == (1, 1)


def test_documents_come_out_of_their_files_as_they_went_in(tmp_path: Path) -> None:
    rows = [
        [Document([5, 6, 7, 8], [(1, 2), (3, 4)])],
        [Document([9, 10], [(1, 2)]), Document([2**31, 3, 4], [(2, 3)])],
    ]
    with TokenWriter(tmp_path) as writer:
        for line, documents in enumerate(rows, start=1):
            writer.add(line, documents)
        writer.finish(Counts())

    read = TokenFiles(tmp_path)

    assert list(read) == rows
    assert (read.lengths.tolist(), read.targets.tolist()) == ([4, 2, 3], [2, 1, 1])
    assert (read.first_documents.tolist(), read.line(1)) == ([0, 1, 3], 2)


def test_a_job_whose_rows_are_wrong_fails_by_their_lines_before_its_first_step(tmp_path: Path, toy: Path) -> None:
    shutil.copytree(toy, tmp_path / "models" / "toy")
    folder = _job(tmp_path, _chat("a?", "b"), {"messages": [{"role": "user", "content": "a?"}]})

    exit_code, _ = made.run(folder)

    status = jobs.read_status(folder)
    assert (exit_code, status.status) == (1, "failed")
    assert "train.jsonl line 2" in (status.error_message or "")
    assert About.__name__ not in (status.error_message or "")
    assert not folder.metrics_file.exists()
