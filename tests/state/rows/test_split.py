"""Which rows are held out: their own content decides, whatever else is there."""

import pytest

from state.errors import ServiceError
from state.row_source import RowSource
from state.rows.row import Chat, Message, PromptCompletion, Row, Text
from state.rows.split import Split

TEXTS = [f"text {number}" for number in range(1000)]


def _sides(texts: list[str], share: float = 0.1, seed: int = 42) -> tuple[list[str], list[str]]:
    """The texts of both sides, as they are read."""
    sources = [RowSource("texts", texts=texts, split=Split(share, seed, held_out)) for held_out in (False, True)]
    trained, held_out = ([row.text for _, row in source.rows() if isinstance(row, Text)] for source in sources)
    return trained, held_out


def test_every_row_is_on_one_side_in_its_place_and_about_the_share_is_held_out() -> None:
    trained, held_out = _sides(TEXTS)

    assert sorted(trained + held_out) == sorted(TEXTS)
    assert trained == [text for text in TEXTS if text in set(trained)]
    assert 70 < len(held_out) < 130
    assert set(_sides(TEXTS, share=0.2)[1]) > set(held_out)
    assert set(_sides(TEXTS, seed=43)[1]) != set(held_out)


def test_the_split_that_jobs_were_trained_with_stays() -> None:
    """A resumed job goes on with the rows that it began with, whatever version of Lathe began it."""
    assert _sides(TEXTS[:100])[1] == ["text 54", "text 60", "text 61", "text 80", "text 84", "text 94"]


def test_rows_that_come_or_go_move_no_other_row() -> None:
    before = set(_sides(TEXTS)[1])

    after = set(_sides([*reversed(TEXTS[100:]), *(f"new {number}" for number in range(500))])[1])

    assert after & set(TEXTS) == before & set(TEXTS[100:])


def test_rows_that_are_equal_or_ask_the_same_are_never_on_both_sides() -> None:
    def rows(number: int) -> list[Row]:
        question = (Message("user", f"question {number}"),)
        answers = [Message("assistant", f"answer {other}") for other in range(3)]
        return [*(Chat((*question, answer)) for answer in answers), PromptCompletion(question, (answers[0],))]

    split = Split(0.3, 42)

    sides = [{split.takes(row) for row in rows(number)} for number in range(50)]

    assert all(len(side) == 1 for side in sides)
    assert {True} in sides
    assert {False} in sides


@pytest.mark.parametrize(("share", "words"), [(0.001, "holds out none of 5 rows"), (0.999, "holds out all of 5 rows")])
def test_a_side_without_rows_is_refused_in_words(share: float, words: str) -> None:
    for held_out in (False, True):
        with pytest.raises(ServiceError, match=rf"^texts: validation_split {share} with seed 42 {words}"):
            list(RowSource("texts", texts=TEXTS[:5], split=Split(share, 42, held_out)).rows())
