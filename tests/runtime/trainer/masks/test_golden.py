"""All kinds of rows with each family's template: what is read and what is learned, as text.

A change of these files is a change of what models learn. `python -m tests.masks` writes them anew; read the difference.
"""

import pytest

from tests import chats, masks


@pytest.mark.parametrize("family", chats.FAMILIES)
def test_what_is_learned_is_what_the_golden_file_shows(family: str) -> None:
    assert masks.golden(family) == (masks.GOLDEN / f"{family}.txt").read_text()


def test_each_golden_file_is_a_family_s() -> None:
    assert {path.stem for path in masks.GOLDEN.iterdir()} == set(chats.FAMILIES)
