"""One evaluation's answers: asked greedily, a few side by side, scored and written down as they come."""

import asyncio
from collections import Counter
from collections.abc import Iterator

from runtime.messages.inference import Generated, Message, SamplingParameters
from runtime.server.answering.serving import Answering, Serving
from runtime.server.answering.worker import Prompt
from runtime.server.evaluating.results import Answers
from runtime.server.evaluating.rows import item_of
from runtime.server.grading.grade import grade
from runtime.server.processes import ProcessDied
from state import evaluations
from state.errors import Busy, ServiceError
from state.evaluation_records import Answer, Asked, Evaluation, Row
from state.evaluations import EvaluationFolder

AT_ONCE = 16  # answers under way; others may ask for as many more as fit (serving.MAX_IN_FLIGHT)
MOST_DEATHS = 3  # of the inference worker, over one answer
MOST_REFUSED = 8  # answers that a model without any is asked for
BUSY_S = 0.5


class Asking:
    """Gets the answers that an evaluation lacks. Cancelled, it has written down what was answered."""

    def __init__(
        self, serving: Serving, folder: EvaluationFolder, evaluation: Evaluation, rows: list[Row], answers: Answers
    ) -> None:
        """`answers` are those that are there, and get those that come."""
        self._serving = serving
        self._folder = folder
        self._evaluation = evaluation
        self._rows = rows
        self._answers = answers
        self._refused: Counter[str] = Counter()

    async def ask(self) -> None:
        """Raises ServiceError where a model cannot answer, or is another one by now; ProcessDied; OSError."""
        left = self._left()
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(AT_ONCE):
                    group.create_task(self._ask_one_by_one(left))
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from failures

    def _left(self) -> Iterator[tuple[Row, Asked]]:
        """Models that share a base answer a row together: what one has read of a prompt, others need not read."""
        bases = dict.fromkeys(asked.model_name for asked in self._evaluation.models)
        for base in bases:
            models = [asked for asked in self._evaluation.models if asked.model_name == base]
            for row in self._rows:
                yield from ((row, asked) for asked in models if (row.row, asked.name) not in self._answers)

    async def _ask_one_by_one(self, left: Iterator[tuple[Row, Asked]]) -> None:
        for row, asked in left:
            answer = await self._answer(row, asked)
            await asyncio.to_thread(evaluations.add_answer, self._folder, answer)
            self._answers[row.row, asked.name] = answer

    async def _answer(self, row: Row, asked: Asked) -> Answer:
        prompt = _prompt(row)
        sampling = SamplingParameters(max_new_tokens=self._evaluation.max_tokens)
        deaths = 0
        while True:
            answering = self._answering(asked)
            try:
                [generated] = await self._serving.complete(answering, [(prompt, sampling)])
            except Busy:
                await asyncio.sleep(BUSY_S)
            except ProcessDied:
                deaths += 1
                if deaths == MOST_DEATHS:
                    raise
            except ServiceError as error:
                return self._refusal(row, asked, error)
            else:
                return await asyncio.to_thread(self._scored, row, asked, generated)

    def _answering(self, asked: Asked) -> Answering:
        """Raises ServiceError for an adapter that is gone or is another one."""
        answering = self._serving.answering(asked.name)
        fingerprint = answering.adapter.fingerprint if answering.adapter else ()
        if fingerprint != asked.fingerprint:
            raise ServiceError(f"{asked.name} changed while it was evaluated: evaluate it again")
        return answering

    def _refusal(self, row: Row, asked: Asked, error: ServiceError) -> Answer:
        """Of one row. Raises the error where the model seems to answer none."""
        self._refused[asked.name] += 1
        has_answered = any(name == asked.name and not one.error for (_, name), one in self._answers.items())
        if not has_answered and self._refused[asked.name] >= min(MOST_REFUSED, len(self._rows)):
            raise ServiceError(f"{asked.name} cannot answer: {error}") from error
        return Answer(row=row.row, model=asked.name, error=str(error))

    def _scored(self, row: Row, asked: Asked, generated: Generated) -> Answer:
        """White space around an answer and around the reference does not count."""
        text, item = generated.text.strip(), item_of(row)
        grades = {one.name: grade(one, text, item) for one in self._evaluation.graders}
        return Answer(
            row=row.row,
            model=asked.name,
            text=generated.text,
            finish_reason=generated.finish_reason,
            tokens=generated.completion_tokens,
            scores={name: found.score for name, found in grades.items()},
            ungraded={name: found.sentence for name, found in grades.items() if found.sentence is not None},
        )


def _prompt(row: Row) -> Prompt:
    if isinstance(row.prompt, str):
        return row.prompt
    return [Message(turn.role, turn.content) for turn in row.prompt]
