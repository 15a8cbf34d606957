"""What an evaluation's answers come to: means, verdicts, and a table for eyes."""

from runtime.server.evaluating.comparison import FEWEST, Comparison, compare
from state.evaluation_records import Answer, Evaluation, Results, TableRow, Verdict

Answers = dict[tuple[int, str], Answer]
"""By row and model."""


def results(evaluation: Evaluation, answers: Answers, warnings: list[str]) -> Results:
    """It takes half a second for 1,000 rows, two models and one grader."""
    own, *others = [asked.name for asked in evaluation.models]
    return Results(
        verdicts=[
            _verdict(evaluation, answers, own, other, grader.name) for grader in evaluation.graders for other in others
        ],
        table=[_table_row(evaluation, answers, asked.name) for asked in evaluation.models],
        warnings=warnings,
    )


def markdown(evaluation: Evaluation, found: Results) -> str:
    names = [grader.name for grader in evaluation.graders]
    head = ["model", "answers", *names, "tokens", "cut off"]
    rows = [
        [
            row.model,
            str(row.num_answers),
            *(f"{row.scores[name]:.3f}" if name in row.scores else "" for name in names),
            f"{row.mean_tokens:.0f}",
            str(row.num_cut_off),
        ]
        for row in found.table
    ]
    lines = [_cells(head), _cells(["---"] * len(head)), *map(_cells, rows)]
    sentences = [f"- {sentence}" for sentence in [one.sentence for one in found.verdicts] + found.warnings]
    title = f"# {evaluation.models[0].name}\n\n{evaluation.rows}: {evaluation.num_rows} rows\n\n"
    return title + "\n".join(lines) + "\n\n" + "\n".join(sentences) + "\n"


def _verdict(evaluation: Evaluation, answers: Answers, own: str, other: str, grader: str) -> Verdict:
    pairs = []
    for row in range(1, evaluation.num_rows + 1):
        mine, theirs = answers.get((row, own)), answers.get((row, other))
        if mine is not None and theirs is not None and grader in mine.scores and grader in theirs.scores:
            pairs.append((mine.scores[grader], theirs.scores[grader]))
    found = compare(pairs)
    return Verdict(
        against=other,
        grader=grader,
        verdict=found.verdict,
        sentence=_sentence(found, pairs, own, other, grader),
        difference=found.difference,
        low=found.low,
        high=found.high,
        num_rows=found.num_rows,
    )


def _sentence(found: Comparison, pairs: list[tuple[float, float]], own: str, other: str, grader: str) -> str:
    if found.verdict == "cannot tell":
        return f"Cannot tell whether {own} is better than {other} by {grader}: {_why(found)}"
    means = [sum(scores) / len(pairs) for scores in zip(*pairs, strict=True)]
    return (
        f"{own} is {found.verdict} than {other} by {grader}: {means[0]:.3f} against {means[1]:.3f} over "
        f"{found.num_rows} rows. {_difference(found)}"
    )


def _why(found: Comparison) -> str:
    if found.num_rows < FEWEST:
        return f"{found.num_rows} rows are too few, {FEWEST} are the fewest that can decide"
    if found.num_different == 0:
        return f"the scores are the same on all of {found.num_rows} rows"
    different = f"their scores differ on {found.num_different} of {found.num_rows} rows"
    return f"{different}, which may be chance. {_difference(found)}"


def _difference(found: Comparison) -> str:
    return f"The difference is {found.difference:+.3f}, 95 % confidence interval {found.low:+.3f} to {found.high:+.3f}"


def _table_row(evaluation: Evaluation, answers: Answers, model: str) -> TableRow:
    own = [answer for (_, name), answer in answers.items() if name == model and answer.error is None]
    graders = [grader.name for grader in evaluation.graders] if own else []
    return TableRow(
        model=model,
        num_answers=len(own),
        scores={name: sum(answer.scores.get(name, 0.0) for answer in own) / len(own) for name in graders},
        mean_tokens=sum(answer.tokens for answer in own) / len(own) if own else 0.0,
        num_cut_off=sum(answer.finish_reason == "length" for answer in own),
    )


def _cells(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"
