"""`python -m runtime.trainer.data.preview`: shows rows as a model learns them, piece by piece.

Started by runtime/server/data/inspection.py. The pieces come from the masks that training uses. It ends at once when
nobody waits for the answer any more.
"""

from runtime.messages.preview import Preview, Question
from runtime.model import libraries
from runtime.process import question


def preview(asked: Question) -> Preview:
    """Raises ServiceError."""
    libraries.load_without_torch()
    from runtime.trainer.data.shown import show  # noqa: PLC0415  it imports transformers

    return show(asked)


if __name__ == "__main__":
    question.serve(Question, preview)
