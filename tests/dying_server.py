"""`python -m tests.dying_server N PYTHON main.py ...`: that server, which dies by SIGKILL once it has N answers.

They are those of evaluations, and N lines of answers.jsonl are there then: a test that kills when it sees some of them
may come when all are there.
"""

import os
import runpy
import signal
import sys
import threading

from state import evaluations
from state.evaluation_records import Answer
from state.evaluations import EvaluationFolder


def die_with(last: int) -> None:
    """Have this process die when it has added that many answers."""
    add, one_by_one, added = evaluations.add_answer, threading.Lock(), 0

    def add_answer(folder: EvaluationFolder, answer: Answer) -> None:
        nonlocal added
        with one_by_one:
            add(folder, answer)
            added += 1
            if added == last:
                os.kill(os.getpid(), signal.SIGKILL)

    evaluations.add_answer = add_answer


if __name__ == "__main__":
    last, _, *sys.argv = sys.argv[1:]
    die_with(int(last))
    runpy.run_path(sys.argv[0], run_name="__main__")
