"""Starting a trainer: a process of its own that outlives the server.

`start_new_session` takes it out of the server's terminal and process group; its output goes to the job's train.log.
It is the same command that a person types: `python -m runtime.trainer training_jobs/<job>`.
"""

import os
import subprocess
import sys
from pathlib import Path

from state.jobs import JobFolder

CODE = Path(__file__).resolve().parent.parent


def launch(folder: JobFolder, accelerator: str | None) -> subprocess.Popen[bytes]:
    """Start a trainer in a job's folder. Raises OSError when the process cannot be made."""
    environment = dict(os.environ)
    if accelerator is not None:
        environment["CUDA_VISIBLE_DEVICES"] = accelerator
    with folder.log_file.open("ab") as log:
        return subprocess.Popen(  # noqa: S603  our own module and a folder that we found ourselves
            [sys.executable, "-m", "runtime.trainer", str(folder.path)],
            cwd=CODE,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
