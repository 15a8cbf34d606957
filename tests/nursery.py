"""`python -m tests.nursery`: stuck trainers (tests/stuck_trainer.py) whose imports are behind them as they start.

Each is a process of its own, forked from this one, which has imported what a trainer does and computed nothing: so it
has one thread, and what it has is whole in each of them. A line of standard input is a question, [JOB_DIR, WHERE,
OUTPUT] for a new one or [PID] for the end of one, and a line of standard output the answer: its pid, or its exit code.
"""

import json
import os
import sys
import traceback
from importlib import import_module
from typing import NoReturn

from runtime.model import libraries
from runtime.process import cpu
from tests import stuck_trainer


def tend() -> None:
    for line in sys.stdin:
        match json.loads(line):
            case [int(pid)]:
                _, status = os.waitpid(pid, 0)
                answer = os.waitstatus_to_exitcode(status)
            case [job_dir, where, output]:
                answer = os.fork() or _be_born(job_dir, where, output)
        sys.stdout.write(f"{answer}\n")
        sys.stdout.flush()


def _be_born(job_dir: str, where: str, output: str) -> NoReturn:
    """In the new process: the streams and the arguments of a trainer that is launched."""
    try:
        kept, nothing = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND), os.open(os.devnull, os.O_RDONLY)
        for stream, descriptor in enumerate((nothing, kept, kept)):
            os.dup2(descriptor, stream)
        sys.argv = ["trainer", job_dir]
        stuck_trainer.be(where)
    except BaseException:  # noqa: BLE001  nothing of this process may go on as its parent does
        traceback.print_exc()
    os._exit(1)


if __name__ == "__main__":
    cpu.prepare()
    libraries.load()
    import_module("runtime.trainer.recipe")
    tend()
