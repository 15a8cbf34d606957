"""`python -m runtime.trainer.spare`: a trainer that waits for its job with the imports behind it.

Started by runtime/server/jobs/launch.py, with its accelerator in its environment. It imports what a training needs,
computes nothing, and waits for a line on its standard input; the end of the input means that the server is gone or
wants none, and ends it.
"""

import os
import sys
from importlib import import_module
from pathlib import Path

from runtime.messages.spare import Assignment
from runtime.messages.training import FAILED
from runtime.model import libraries
from runtime.process import cpu, question
from runtime.process.exit import leave
from runtime.trainer.__main__ import run
from state.jobs import JobFolder

STDIN, STDOUT, STDERR = 0, 1, 2
FAMILIES = ("gemma", "gemma2", "gemma3", "llama", "mistral", "phi", "phi3", "qwen2", "qwen3")
NEEDED = (
    "runtime.trainer.recipe",
    "transformers.integrations.bitsandbytes",  # these, transformers would import when it first meets a model of theirs
    *(f"transformers.models.{family}.modeling_{family}" for family in FAMILIES),
)


def main() -> int:
    cpu.prepare()
    libraries.load()
    for module in NEEDED:
        import_module(module)
    assignment = question.receive(Assignment)
    if assignment is None:
        return 0
    folder = JobFolder(Path(assignment.job_dir))
    try:
        _become_a_trainer_of(folder)
    except OSError as error:
        print(f"{folder.path} cannot be worked in: {error}", file=sys.stderr)  # noqa: T201
        return FAILED
    return run(folder.path)


def _become_a_trainer_of(folder: JobFolder) -> None:
    """Have the standard streams that a launched trainer has. Raises OSError."""
    output = os.open(folder.log_file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, STDIN)
    os.dup2(output, STDOUT)
    os.dup2(output, STDERR)
    os.close(nothing)
    os.close(output)


if __name__ == "__main__":
    leave(main())
