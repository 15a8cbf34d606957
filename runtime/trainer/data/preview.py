"""`python -m runtime.trainer.data.preview`: shows rows as a model learns them, piece by piece.

Started by runtime/server/data/inspection.py. The pieces come from the masks that training uses. It ends at once when
nobody waits for the answer any more.
"""

from typing import NoReturn

from runtime.messages.preview import Answer, Question
from runtime.model import libraries
from runtime.process import question
from runtime.process.exit import leave
from state.errors import ServiceError


def main() -> NoReturn:
    asked = question.read(Question)
    libraries.load_without_torch()
    from runtime.trainer.data.shown import show  # noqa: PLC0415  it imports transformers

    try:
        answer = Answer(preview=show(asked))
    except ServiceError as error:
        answer = Answer(error=str(error))
    question.answer(answer)
    leave(0)


if __name__ == "__main__":
    main()
