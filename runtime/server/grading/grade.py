"""One answer's score by one grader."""

from msgspec import Struct

from runtime.server.grading import formula, similarity, templates
from runtime.server.grading.templates import Kind, NoScore
from state.errors import ServiceError
from state.graders import AnyGrader, AnyPart, Grader, LabelModel, Multi, Part, Python, ScoreModel, StringCheck

_NOT_HERE = {
    "cosine": "it compares embeddings of a model of OpenAI's",
    "meteor": "it needs WordNet's lists of synonyms, which are not part of Lathe",
}

LONGEST = 100_000  # characters: rapidfuzz takes a tenth of a second or two, in which nobody else has the interpreter


class Grade(Struct, frozen=True):
    """`parts` are the scores that a multi grader's formula was given. Without a score, `score` is 0."""

    score: float
    parts: dict[str, float] = {}
    problem: Kind | None = None
    sentence: str | None = None


def checked(grader: AnyGrader) -> Grader:
    """The same, where it can be had here and may give a score. Raises ServiceError where not."""
    if isinstance(grader, Multi):
        parts = {name: _checked_part(f"grader.graders.{name}", part) for name, part in grader.parts().items()}
        formula.check(grader.calculate_output, list(parts))
        return grader
    return _checked_part("grader", grader)


def grade(grader: Grader, answer: str, item: object) -> Grade:
    """By a checked grader."""
    try:
        if not isinstance(grader, Multi):
            return Grade(_score(grader, answer, item))
        parts = {name: _score(part, answer, item) for name, part in _parts(grader).items()}
        return Grade(formula.value(grader.calculate_output, parts), parts)
    except NoScore as error:
        return Grade(0.0, problem=error.kind, sentence=str(error))


def check_item(grader: Grader, item: object) -> None:
    """Raise ServiceError for a row that lacks what a checked grader asks it for."""
    parts = list(_parts(grader).values()) if isinstance(grader, Multi) else [grader]
    for text in (text for part in parts for text in (part.input, part.reference)):
        for template in templates.of_item(text):
            try:
                templates.filled(template, item, "")
            except NoScore as error:
                raise ServiceError(f"grader {grader.name!r}: {error}") from error


def _checked_part(field: str, part: AnyPart) -> Part:
    match part:
        case Python():
            raise _refused(f"{field}: a python grader is code, and this server runs no code of requests")
        case ScoreModel() | LabelModel():
            raise _refused(f"{field}: grading by a model is not offered")
    templates.check(f"{field}.input", part.input)
    templates.check(f"{field}.reference", part.reference)
    if not isinstance(part, StringCheck) and part.evaluation_metric in _NOT_HERE:
        raise _refused(
            f"{field}.evaluation_metric {part.evaluation_metric} is not offered: {_NOT_HERE[part.evaluation_metric]}. "
            f"Use {', '.join(similarity.MEASURES)}"
        )
    return part


def _refused(why: str) -> ServiceError:
    return ServiceError(f"{why}", param="grader")


def _parts(grader: Multi) -> dict[str, Part]:
    return {name: part for name, part in grader.parts().items() if isinstance(part, Part)}


def _score(grader: Part, answer: str, item: object) -> float:
    text = templates.filled(grader.input, item, answer)
    reference = templates.filled(grader.reference, item, answer)
    if not isinstance(grader, StringCheck):
        if max(len(text), len(reference)) > LONGEST:
            raise NoScore("other_error", f"texts of more than {LONGEST} characters are not compared")
        return similarity.measured(grader.evaluation_metric, text, reference)
    match grader.operation:
        case "eq":
            return float(text == reference)
        case "ne":
            return float(text != reference)
        case "like":
            return float(reference in text)
        case "ilike":
            return float(reference.casefold() in text.casefold())
