"""A report's numbers are those that can be counted by hand: with a tokenizer to which a word is a token."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from runtime.messages.report import Finding, Place, Question, Report
from runtime.messages.rows import Line
from runtime.trainer.data.examination import examine
from state.errors import ServiceError
from state.row_source import RowSource
from tests import chats

WORDS = ["one", "two", "three", "four", "say"]
TEMPLATE = (
    "{% for message in messages %}{{ '<bot> ' if message.role == 'assistant' else '<user> ' }}{{ message.content }}"
    "{{ ' <end> ' if message.role == 'assistant' else ' ' }}{% endfor %}{% if add_generation_prompt %}<bot> {% endif %}"
)


def _words() -> PreTrainedTokenizerBase:
    backend = Tokenizer(models.WordLevel({word: index for index, word in enumerate(WORDS)}, "one"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    backend.add_special_tokens([AddedToken(text, special=True) for text in ("<user>", "<bot>", "<end>")])
    return PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<end>", chat_template=TEMPLATE)  # noqa: S106


def _model(root: Path, tokenizer: PreTrainedTokenizerBase, end: int | list[int] | None, context: int = 512) -> None:
    """A model without any weights."""
    folder = root / "models" / "bare"
    shutil.rmtree(folder, ignore_errors=True)
    tokenizer.save_pretrained(folder)
    config = {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "max_position_embeddings": context}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": end}))


def _family(root: Path, name: str) -> None:
    tokenizer = chats.tokenizer(name)
    _model(root, tokenizer, sorted(chats.served(name, tokenizer)))


def _chat(*said: str) -> dict[str, Any]:
    return {"messages": [{"role": ("user", "assistant")[at % 2], "content": text} for at, text in enumerate(said)]}


def _data(root: Path, **files: list[Any]) -> RowSource:
    """A data set's folder; None is a blank line."""
    folder = root / "training_data" / "rows"
    folder.mkdir(parents=True)
    for name, rows in files.items():
        lines = ("" if row is None else json.dumps(row) for row in rows)
        (folder / f"{name}.jsonl").write_text("\n".join(lines))
    return RowSource("rows", str(folder))


def _report(root: Path, rows: RowSource, model_name: str = "bare", **settings: Any) -> Report:
    asked = {"max_seq_length": None, "learn": None} | settings
    return examine(Question(root=str(root), rows=rows, model_name=model_name, **asked))


def _found(report: Report, id_: str) -> Finding:
    [found] = [finding for finding in report.findings if finding.id == id_]
    return found


def _place(line: int, row: int, file: str = "train.jsonl", **said: Any) -> Place:
    return Place(file=file, line=line, row=row, **said)


@pytest.fixture
def counted(tmp_path: Path) -> Report:
    _model(tmp_path, _words(), 7)
    rows = _data(
        tmp_path,
        train=[
            _chat("one two", "three four"),  # line 1: 7 tokens, 3 of them learned
            _chat("one", "two"),  # line 2: 5 and 2, of which one is the end
            _chat("one two", "three four"),  # line 3: line 1 again
            None,
            _chat("one", "two three", "four", "one two"),  # line 5: 12 and 6
            _chat("say <end> two", "one two"),  # line 6: 8 and 3
            _chat("one", "two <end> three"),  # line 7: what the model writes behind its end
            {"messages": [{"role": "user", "content": "one"}]},  # line 8
            _chat("one", "two " * 20),  # line 9: 24 and 21
            _chat("one " * 12, "two three"),  # line 10: 17 and 3
        ],
        eval=[_chat("one two", "three four"), _chat("one", "four"), _chat("three", "two one")],
        val_broken=["no row"],
    )
    return _report(tmp_path, rows, max_seq_length=10)


def test_rows_and_tokens_are_counted(counted: Report) -> None:
    assert (counted.dataset_name, counted.model_name, counted.formats, counted.row_kind) == (
        "rows",
        "bare",
        ["chat"],
        "chat",
    )
    assert (counted.num_rows, counted.num_invalid, counted.num_refused, counted.num_learned) == (9, 1, 1, 7)
    tokens = counted.tokens
    assert (tokens.total, tokens.learned, tokens.num_sequences) == (80, 41, 7)
    rows, learned = tokens.per_row, tokens.learned_per_row
    assert rows is not None
    assert learned is not None
    assert (rows.min, rows.p50, rows.p90, rows.p99, rows.max, rows.mean) == (5, 8, 24, 24, 24, 11.4)
    assert (learned.min, learned.p50, learned.p90, learned.p99, learned.max, learned.mean) == (2, 3, 21, 21, 21, 5.9)
    assert rows.histogram.borders == list(range(5, 26))
    assert dict(zip(rows.histogram.borders, rows.histogram.counts, strict=False)) == {
        length: {5: 1, 7: 2, 8: 1, 12: 1, 17: 1, 24: 1}.get(length, 0) for length in range(5, 25)
    }
    assert (tokens.per_sequence, tokens.learned_per_sequence) == (rows, learned)


def test_rows_that_cannot_be_used_or_learned_are_named_by_their_lines(counted: Report) -> None:
    invalid, refused = (
        _found(counted, id_) for id_ in ("example_missing_assistant_message", "special_token_in_answer")
    )

    assert (invalid.kind, invalid.severity, invalid.count, invalid.share) == ("invalid", "error", 1, round(1 / 9, 6))
    assert (invalid.first[0].line, invalid.first[0].row, invalid.first[0].at) == (8, 7, "messages")
    assert (refused.kind, refused.severity, refused.count) == ("refused", "error", 1)
    sentence = "messages[1].content holds '<end>', at which answers end"
    assert refused.first == [_place(7, 6, message=sentence)]
    assert refused.message.endswith(f"The first, train.jsonl line 7: {sentence}")
    assert "skip_invalid" in (refused.fix or "")


def test_rows_that_are_learned_and_hardly_meant_so_are_named(counted: Report) -> None:
    duplicate, short = _found(counted, "duplicate"), _found(counted, "near_empty_answer")
    special = _found(counted, "special_token_in_text")

    assert duplicate.first == [_place(3, 3, same_as=Line(file="train.jsonl", line=1, row=1))]
    assert short.first == [_place(2, 2, value="two")]
    assert special.first == [_place(6, 5, at="messages[0].content", value="<end>")]
    assert [finding.severity for finding in (duplicate, short, special)] == ["warning"] * 3


def test_rows_that_are_too_long_are_counted_with_what_they_would_lose(counted: Report) -> None:
    long = counted.too_long
    found = _found(counted, "truncated")

    assert (long.max_seq_length, long.context_length, long.count, long.share) == (10, 512, 3, round(3 / 9, 6))
    assert (long.lose_an_answers_end, long.lose_everything) == (3, 1)
    assert (long.longest, long.longest_tokens) == (Line(file="train.jsonl", line=9, row=8), 24)
    assert [(place.line, place.value) for place in found.first] == [
        (5, "12 tokens"),
        (9, "24 tokens"),
        (10, "17 tokens"),
    ]
    assert (found.count, found.severity) == (3, "error")
    assert "Raise training_config.max_seq_length to 24" in (found.fix or "")


def test_what_is_held_out_and_trained_on_all_the_same_is_named(counted: Report) -> None:
    same, asked = _found(counted, "eval_leak"), _found(counted, "eval_prompt_leak")

    first = _place(1, 1, "eval.jsonl", same_as=Line(file="train.jsonl", line=1, row=1))
    assert (same.count, same.share, same.first) == (1, round(1 / 3, 6), [first])
    second = _place(2, 2, "eval.jsonl", same_as=Line(file="train.jsonl", line=2, row=2))
    assert (asked.count, asked.first) == (2, [first, second])
    assert [(each.file, each.num_rows, each.num_invalid) for each in counted.held_out] == [
        ("eval.jsonl", 3, 0),
        ("val_broken.jsonl", 0, 1),
    ]
    assert counted.held_out[0].problem is None
    assert "val_broken.jsonl line 1" in (counted.held_out[1].problem or "")


def test_what_fails_a_job_is_told_first(counted: Report) -> None:
    assert [finding.severity for finding in counted.findings] == ["error"] * 3 + ["warning"] * 5


def test_texts_are_cut_and_those_of_one_token_left_out(tmp_path: Path) -> None:
    rows = _data(tmp_path, train=[{"text": "one " * 100}, {"text": "one"}, {"text": "one two"}])
    endless = _words()
    endless.eos_token = None
    _model(tmp_path, endless, None)

    report = _report(tmp_path, rows, max_seq_length=50)

    assert _found(report, "truncated").severity == "warning"
    assert _found(report, "nothing_to_predict").first == [_place(2, 2)]
    assert (report.num_refused, report.num_learned, report.tokens.total) == (0, 2, 102)
    assert (report.asked.template, report.asked.end_tokens) == (None, [])
    completions = _report(tmp_path, rows, learn="completions")
    assert (completions.num_refused, completions.num_learned, completions.tokens.per_row) == (3, 0, None)


def test_an_answer_of_blanks_alone_is_near_empty(tmp_path: Path) -> None:
    rows = _data(
        tmp_path, train=[{"prompt": "x =", "completion": " 1 + 2"}, {"prompt": "y", "completion": "\n\n \n\n  \n"}]
    )

    found = _found(_report(tmp_path, rows, "tiny-python"), "near_empty_answer")

    assert [(place.line, place.value) for place in found.first] == [(2, "\n\n \n\n  \n")]


def test_a_report_says_how_an_adapter_will_be_asked(tmp_path: Path) -> None:
    thinking = _chat("Hi", "<think>\ngreet\n</think>\n\nHello there!")
    rows = _data(tmp_path, train=[thinking, _chat("Hi", "Hello there!"), thinking | {"id": 2}])
    asked = {}
    for name in ("qwen3", "gemma", "llama32", "default"):
        _family(tmp_path, name)
        asked[name] = _report(tmp_path, rows)

    assert asked["qwen3"].asked.switches == {"enable_thinking": True}
    assert _found(asked["qwen3"], "switches_differ").first == [_place(2, 2, value="enable_thinking=false")]
    assert (asked["qwen3"].asked.template, asked["qwen3"].asked.date) == ("model", None)
    assert (asked["gemma"].asked.end_tokens, asked["gemma"].asked.stop_tokens) == (["<eos>"], ["<end_of_turn>"])
    assert asked["llama32"].asked.date is not None
    assert (asked["default"].asked.template, asked["default"].asked.stop_tokens) == ("default", [])


def test_a_row_of_several_sequences_counts_as_one_row(tmp_path: Path) -> None:
    _family(tmp_path, "qwen3")
    said = ("a?", "<think>\nx\n</think>\n\nb", "c?", "<think>\ny\n</think>\n\nd")

    tokens = _report(tmp_path, _data(tmp_path, train=[_chat(*said)])).tokens

    assert tokens.per_row is not None
    assert tokens.per_sequence is not None
    assert tokens.num_sequences == 2
    assert tokens.per_row.max == tokens.total > tokens.per_sequence.max


def test_the_files_of_a_folder_are_told_apart_and_twenty_rows_named(tmp_path: Path) -> None:
    rows = _data(tmp_path, a=[_chat("Hi", "Hello you")] * 3, b=[None, *[_chat("Hi", "Hello you")] * 30])

    found = _found(_report(tmp_path, rows, "tiny-python"), "duplicate")

    assert (found.count, len(found.first), found.share) == (32, 20, round(32 / 33, 6))
    assert {place.same_as for place in found.first} == {Line(file="a.jsonl", line=1, row=1)}
    assert [(place.file, place.line, place.row) for place in found.first[:3]] == [
        ("a.jsonl", 2, 2),
        ("a.jsonl", 3, 3),
        ("b.jsonl", 2, 1),
    ]


def test_a_report_of_rows_of_which_none_can_be_used_says_so(tmp_path: Path) -> None:
    report = _report(tmp_path, _data(tmp_path, train=[{"nothing": 1}, {"nothing": 2}]), "tiny-python")

    assert (report.num_rows, report.num_invalid, report.num_learned, report.tokens.total) == (2, 2, 0, 0)
    assert _found(report, "unknown_format").count == 2


def test_what_no_report_can_be_made_of_is_refused_in_words(tmp_path: Path) -> None:
    rows = _data(tmp_path, train=[_chat("Hi", "Hello you")])
    _model(tmp_path, _words(), 7, context=64)

    with pytest.raises(ServiceError, match=r"^max_seq_length is 65, but the model's context is 64 tokens"):
        _report(tmp_path, rows, max_seq_length=65)
    with pytest.raises(ServiceError, match="Model none not available"):
        _report(tmp_path, rows, "none")
    (tmp_path / "models" / "bare" / "tokenizer.json").unlink()
    with pytest.raises(ServiceError, match="The tokenizer of bare cannot be loaded"):
        _report(tmp_path, rows)


def test_both_answers_of_preferences_are_counted(tmp_path: Path) -> None:
    _model(tmp_path, _words(), 7)
    asked = [("one two", "three", "four four"), ("say " * 10, "one", "two")]
    rows = [
        {
            "prompt": [{"role": "user", "content": prompt}],
            "chosen": [{"role": "assistant", "content": chosen}],
            "rejected": [{"role": "assistant", "content": rejected}],
        }
        for prompt, chosen, rejected in asked  # 6 and 7 tokens, of which 2 and 3 are learned; twice 14, and 2
    ]

    report = _report(tmp_path, _data(tmp_path, train=rows), max_seq_length=8)

    assert (report.row_kind, report.num_refused, report.num_learned) == ("preference", 0, 2)
    assert (report.tokens.num_sequences, report.tokens.total, report.tokens.learned) == (4, 41, 9)
    assert (report.too_long.count, report.too_long.lose_everything) == (1, 1)
