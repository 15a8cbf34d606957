"""What becomes of a row of preferences: two documents behind the same tokens, whole or not at all."""

import json
from pathlib import Path

import pytest

from runtime.trainer.documents import Document
from runtime.trainer.preferences import pairs
from state.errors import ServiceError
from state.rows.row import Preference
from tests import masks, preferences

LONG = preferences.chat("Count", "one " * 60, "one " * 60 + "two")
TEXT = {"text": "a text"}


def test_both_answers_are_learned_behind_the_prompt_that_is_served_up_to_their_end(tmp_path: Path) -> None:
    how = preferences.tokenizer().tokenizer

    rows = preferences.tokenized(tmp_path, *preferences.ROWS)

    for row, documents in zip(preferences.ROWS, rows.rows, strict=True):
        prompt = how.apply_chat_template(row["prompt"], add_generation_prompt=True, tokenize=False)
        served = how(prompt, add_special_tokens=False)["input_ids"]
        for side, document in zip(("chosen", "rejected"), documents, strict=True):
            ((begin, end),) = document.spans
            assert document.tokens[:begin] == served
            assert end == len(document)
            assert how.decode(document.tokens[begin:]) == row[side][0]["content"] + how.eos_token
    assert rows.counts.has_conversations  # so that the adapter is asked as it was trained


def test_a_pair_that_is_too_long_is_refused_dropped_or_cut_as_a_whole(tmp_path: Path) -> None:
    def counted(folder: str, most: int, on_too_long: str) -> tuple[int, int, int]:
        (tmp_path / folder).mkdir()
        rows = preferences.tokenized(
            tmp_path / folder, LONG, preferences.ROWS[1], max_seq_length=most, on_too_long=on_too_long
        )
        assert all(pairs.are_a_pair(documents) for documents in rows.rows)
        assert all(len(document) <= most for documents in rows.rows for document in documents)
        return len(rows.rows), rows.counts.num_cut, rows.counts.num_dropped

    longest = len(masks.masked("qwen3", Preference("Count", "one " * 60, "one " * 60 + "two")).sequences[1])
    assert longest > 60
    (tmp_path / "refused").mkdir()
    with pytest.raises(ServiceError, match=r"1 of 2 rows are longer than max_seq_length, 60 tokens, and would lose"):
        preferences.tokenized(tmp_path / "refused", LONG, preferences.ROWS[1], max_seq_length=60)
    assert counted("dropped", 60, "drop") == (1, 0, 1)
    assert counted("cut, and all that differs is gone", 60, "cut") == (1, 1, 1)
    assert counted("whole", 400, "cut") == (2, 0, 0)


def test_what_is_cut_stays_a_pair() -> None:
    chosen, rejected = Document([1, 2, 3, 4, 5], [(2, 5)]), Document([1, 2, 6], [(2, 3)])

    assert pairs.cut([chosen, rejected], 4) == [Document([1, 2, 3, 4], [(2, 4)]), rejected]
    assert pairs.cut([chosen, rejected], 2) == []
    assert pairs.cut([chosen, Document([1, 2, 3, 6], [(2, 4)])], 3) == []
    assert pairs.are_a_pair([chosen, rejected])
    assert not pairs.are_a_pair([chosen, Document([1, 9, 6], [(2, 3)])])
    assert not pairs.are_a_pair([chosen])


@pytest.mark.parametrize(
    ("method", "row", "said"),
    [
        ("sft", preferences.ROWS[0], 'rows.jsonl holds preferences: set training_config.method to "dpo"'),
        ("dpo", TEXT, 'rows.jsonl holds rows that are no preferences, and training_config.method is "dpo"'),
    ],
)
def test_rows_of_another_method_are_refused_before_the_first_step(
    tmp_path: Path, method: str, row: dict[str, object], said: str
) -> None:
    with pytest.raises(ServiceError, match=said):
        preferences.tokenized(tmp_path, row, method=method)
    assert not (tmp_path / "tokens" / "train").exists()


def test_preferences_mixed_with_other_rows_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ServiceError, match=r"rows\.jsonl.*line 2"):
        preferences.tokenized(tmp_path, preferences.ROWS[0], TEXT)


def test_another_method_is_not_given_the_tokens_of_this_one(tmp_path: Path) -> None:
    preferences.tokenized(tmp_path, preferences.ROWS[0])
    with pytest.raises(ServiceError, match="holds preferences"):
        preferences.tokenized(tmp_path, preferences.ROWS[0], method="sft")
    assert json.loads((tmp_path / "tokens" / "train" / "about.json").read_text())["way"]["method"] == "dpo"
