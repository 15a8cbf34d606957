"""A verdict is no better than what it was made of."""

import itertools
import random

from runtime.server.evaluating.comparison import compare


def _sign_flip_p(differences: list[float]) -> float:
    """Of all ways to exchange the two models' scores row by row, the share that is at least as good for the first."""
    flips = list(itertools.product((1, -1), repeat=len(differences)))
    observed = sum(differences)
    return sum(sum(map(float.__mul__, map(float, signs), differences)) >= observed - 1e-9 for signs in flips) / len(
        flips
    )


def test_a_verdict_is_that_of_the_exact_randomization_test_for_pairs() -> None:
    drawing = random.Random(0)  # noqa: S311  no secret
    found = set()
    for number in range(60):
        size = 5 + number % 6
        differences = [drawing.choice([-0.5, 0.0, 0.25, 1.0, drawing.random()]) for _ in range(size)]

        verdict = compare([(0.5 + difference, 0.5) for difference in differences]).verdict

        found.add(verdict)
        assert (verdict == "better") == (_sign_flip_p(differences) <= 0.025)
        assert (verdict == "worse") == (_sign_flip_p([-each for each in differences]) <= 0.025)
    assert found == {"better", "cannot tell"}


def test_few_rows_and_equal_scores_decide_nothing() -> None:
    assert [compare([(1.0, 0.0)] * size).verdict for size in (0, 1, 5, 6)] == ["cannot tell"] * 3 + ["better"]
    assert compare([(0.0, 1.0)] * 6).verdict == "worse"
    assert compare([(1.0, 0.0)] * 5 + [(1.0, 1.0)] * 300).verdict == "cannot tell"
    assert compare([(0.1 + 0.2, 0.3)] * 100).verdict == "cannot tell"


def test_of_many_rows_the_interval_is_the_means() -> None:
    """1.96 standard errors to each side, of 400 normal differences around 0.1."""
    drawing = random.Random(7)  # noqa: S311

    found = compare([(drawing.gauss(0.1, 0.5), 0.0) for _ in range(400)])

    assert found.low is not None
    assert found.high is not None
    assert abs(found.high - found.low - 2 * 1.96 * 0.5 / 20) < 0.01
    assert abs((found.high + found.low) / 2 - found.difference) < 0.005
