"""`python -m runtime.trainer.data.report`: says what a data set is for a model.

Started by runtime/server/data/inspection.py. It reads all rows once, as a trainer would, and keeps numbers of them: 60
bytes a row. It ends at once when nobody waits for the answer any more.
"""

from typing import NoReturn

from runtime.messages.report import Answer, Question
from runtime.model import libraries
from runtime.process import question
from runtime.process.exit import leave
from state.errors import ServiceError


def main() -> NoReturn:
    asked = question.read(Question)
    libraries.load_without_torch()
    from runtime.trainer.data.examination import examine  # noqa: PLC0415  it imports transformers

    try:
        answer = Answer(report=examine(asked))
    except ServiceError as error:
        answer = Answer(error=str(error))
    question.answer(answer)
    leave(0)


if __name__ == "__main__":
    main()
