"""What a preview shows of a row is what is learned of it, to the last character."""

import json
from pathlib import Path
from typing import Any

import pytest

from runtime.messages.preview import Next, Piece, Preview, Question
from runtime.model.text import decoded
from runtime.trainer.data.shown import show
from runtime.trainer.data.texts import pieces
from runtime.trainer.documents import Document, whole
from state.errors import ServiceError
from state.row_source import RowSource
from state.rows.row import Chat
from tests import chats, masks
from tests.server import CHECKOUT

ANSWERS = ("plain", " begins with a blank", "\n\nbegins with lines\n", "🙂 é 🙂", "🙂", "漢字 and \ufffd", "<b> [x] ▁")


def _show(root: Path, rows: RowSource, model_name: str = "tiny-python", **settings: Any) -> Preview:
    lengths = {"min_tokens": None, "max_tokens": None}
    asked = {"learn": None, "file": None, "first": 1, "count": 10} | lengths | settings
    return show(Question(root=str(root), rows=rows, model_name=model_name, **asked))


def _data(root: Path, **files: str) -> RowSource:
    for name, content in files.items():
        (root / f"{name}.jsonl").write_text(content)
    return RowSource("rows", str(root))


def _chat(*said: str) -> str:
    turns = [{"role": ("user", "assistant")[at % 2], "content": text} for at, text in enumerate(said)]
    return json.dumps({"messages": turns}) + "\n"


def test_a_row_is_shown_as_its_template_writes_it(tmp_path: Path) -> None:
    rows = _data(tmp_path, train=_chat("Hi", "Hello!", "2 + 3?", "5"))

    [shown] = _show(CHECKOUT, rows).rows

    assert [(piece.text, piece.learned) for piece in shown.sequences[0].pieces] == [
        ("### Instruction:\nHi\n\n### Response:\n", False),
        ("Hello!<|endoftext|>", True),
        ("\n\n### Instruction:\n2 + 3?\n\n### Response:\n", False),
        ("5<|endoftext|>", True),
    ]
    [sequence] = shown.sequences
    assert sequence.num_tokens == sum(piece.num_tokens for piece in sequence.pieces)
    assert sequence.num_learned == sum(piece.num_tokens for piece in sequence.pieces if piece.learned)


@pytest.mark.parametrize("family", chats.FAMILIES)
def test_pieces_are_faithful_with_every_template(family: str) -> None:
    tokenizer, masker = chats.tokenizer(family), masks.masker(family)
    begin = "<think>\n" if family == "deepseek_r1" else ""  # how its template asks for every answer
    found = 0
    for said in ANSWERS:
        answer = masks.answer(begin + said)
        rows = [Chat((masks.user(said), answer, masks.user("Again"), answer))]
        for masked in masker.masks(rows):
            for document in getattr(masked, "sequences", ()):
                shown = pieces(tokenizer, document)

                found += 1
                assert "".join(piece.text for piece in shown) == decoded(tokenizer, document.tokens, special=True)
                marked = "".join(f"⟦{piece.text}⟧" if piece.learned else piece.text for piece in shown)
                assert marked == masks.marked(tokenizer, document)
    assert found


@pytest.mark.parametrize("family", ["tiny-python", "llama2", "llama3"])
def test_a_character_that_two_pieces_share_is_whole_in_the_later_one(family: str) -> None:
    tokenizer = chats.tokenizer(family)
    text = "🙂 漢字"
    tokens = tokenizer(text, add_special_tokens=False)["input_ids"]
    assert "\ufffd" in decoded(tokenizer, tokens[:-1], special=True)

    for at in range(1, len(tokens)):
        before, behind = pieces(tokenizer, Document(tokens, [(at, len(tokens))]))

        assert before.text + behind.text == decoded(tokenizer, tokens, special=True) == text
        assert "\ufffd" not in before.text
        assert (before.num_tokens, behind.num_tokens) == (at, len(tokens) - at)


def test_the_first_token_of_a_text_is_read_and_not_learned() -> None:
    tokenizer = chats.tokenizer("tiny-python")
    tokens = tokenizer("🙂")["input_ids"]

    assert pieces(tokenizer, whole(tokens)) == [
        Piece("", learned=False, num_tokens=1),
        Piece("🙂", learned=True, num_tokens=len(tokens) - 1),
    ]


def test_rows_that_are_not_learned_are_shown_with_the_reason(tmp_path: Path) -> None:
    rows = _data(tmp_path, train=_chat("Hi", "a<|endoftext|>b") + "\n{\n" + _chat("<|endoftext|>?", "Hello!"))

    refused, invalid, noted = _show(CHECKOUT, rows).rows

    assert (refused.line, refused.sequences, refused.problem_id) == (1, [], "special_token_in_answer")
    assert refused.problem == "messages[1].content holds '<|endoftext|>', at which answers end"
    assert (invalid.line, invalid.row, invalid.problem_id) == (3, 2, "malformed_json")
    assert (noted.line, noted.problem, noted.notes[0].id) == (4, None, "special_token_in_text")


def test_pages_go_on_through_all_files(tmp_path: Path) -> None:
    rows = _data(tmp_path, a="".join(_chat(f"a{n}", "Hello!") for n in range(3)), b=_chat("b0", "Hello!") * 3)

    seen = []
    at: Next | None = Next("a.jsonl", 1)
    while at is not None:
        page = _show(CHECKOUT, rows, file=at.file, first=at.first, count=2)
        seen.append([(row.file, row.row) for row in page.rows])
        at = page.next

    assert seen == [
        [("a.jsonl", 1), ("a.jsonl", 2)],
        [("a.jsonl", 3), ("b.jsonl", 1)],
        [("b.jsonl", 2), ("b.jsonl", 3)],
    ]
    assert _show(CHECKOUT, rows, file="b.jsonl", first=3).rows[0].row == 3
    assert _show(CHECKOUT, rows, first=9) == Preview(dataset_name="rows", model_name="tiny-python", rows=[], next=None)
    with pytest.raises(ServiceError, match=r"c\.jsonl is no file of rows's rows: there is a\.jsonl, b\.jsonl"):
        _show(CHECKOUT, rows, file="c.jsonl")


def test_rows_of_given_lengths_are_those_that_a_report_counts_there(tmp_path: Path) -> None:
    answers = ["a", "b " * 40, "c", "d " * 40, "e " * 20]
    rows = _data(tmp_path, train="".join(_chat("Hi", answer) for answer in answers) + "{\n")
    lengths = {row.row: sum(each.num_tokens for each in row.sequences) for row in _show(CHECKOUT, rows).rows}
    long, middle = lengths[2], lengths[5]
    assert lengths[4] == long > middle > max(lengths[1], lengths[3])

    def found(**settings: Any) -> list[int]:
        return [row.row for row in _show(CHECKOUT, rows, **settings).rows]

    assert found(min_tokens=long, max_tokens=long) == found(min_tokens=middle + 1) == [2, 4]
    assert found(max_tokens=middle) == [1, 3, 5]  # a row that cannot be learned has no length
    page = _show(CHECKOUT, rows, min_tokens=middle, count=2)
    assert ([row.row for row in page.rows], page.next) == ([2, 4], Next("train.jsonl", 5))
    assert found(min_tokens=middle, first=5) == [5]
