"""What makes an evaluation's verdicts worth less than they look."""

from runtime.server.evaluating import sources
from runtime.server.evaluating.results import Answers
from runtime.server.evaluating.rows import num_trained_on
from state.errors import ServiceError
from state.evaluation_records import Asked, Evaluation, Row
from state.root import DataRoot


def warnings(root: DataRoot, evaluation: Evaluation, rows: list[Row], answers: Answers) -> list[str]:
    """In sentences. Reads all rows that the adapters were trained on."""
    found = [_trained_on(root, asked, rows) for asked in evaluation.models if asked.is_adapter]
    for asked in evaluation.models:
        own = [answer for (_, name), answer in answers.items() if name == asked.name]
        cut_off = sum(answer.finish_reason == "length" for answer in own)
        refused = [answer.error for answer in own if answer.error is not None]
        found += [
            f"{cut_off} of {asked.name}'s {len(own)} answers were cut off at max_tokens {evaluation.max_tokens}"
            if 2 * cut_off > len(own)
            else None,
            f"{asked.name} could not answer {len(refused)} of {len(own)} rows: {refused[0]}" if refused else None,
        ]
    return [sentence for sentence in found if sentence is not None]


def _trained_on(root: DataRoot, asked: Asked, rows: list[Row]) -> str | None:
    try:
        trained = sources.trained_on(root, asked.name)
        seen = 0 if trained is None else num_trained_on(rows, trained)
    except (OSError, ServiceError):
        return None  # the job was deleted just now, or its rows were changed by hand
    if not seen:
        return None
    return f"{asked.name} was trained on {seen} of the {len(rows)} questions: how it answers others, these do not tell"
