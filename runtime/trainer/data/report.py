"""`python -m runtime.trainer.data.report`: says what a data set is for a model.

Started by runtime/server/data/inspection.py. It reads all rows once, as a trainer would, and keeps numbers of them: 60
bytes a row. It ends at once when nobody waits for the answer any more.
"""

from runtime.messages.report import Question, Report
from runtime.model import libraries
from runtime.process import question


def report(asked: Question) -> Report:
    """Raises ServiceError."""
    libraries.load_without_torch()
    from runtime.trainer.data.examination import examine  # noqa: PLC0415  it imports transformers

    return examine(asked)


if __name__ == "__main__":
    question.serve(Question, report)
