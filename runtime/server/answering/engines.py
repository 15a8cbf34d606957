"""What completes prompts: the embedded engine, or the llama-server of who started this server."""

import os
import shutil
from pathlib import Path

from state.errors import ServiceError

EMBEDDED, LLAMA_CPP = "embedded", "llama.cpp"
NAMES = (EMBEDDED, LLAMA_CPP)
VARIABLE, PROGRAM = "LATHE_LLAMA_SERVER", "llama-server"


def llama_server(engine: str) -> Path | None:
    """The program that an engine needs. Raises ServiceError where there is none."""
    if engine != LLAMA_CPP:
        return None
    named = os.environ.get(VARIABLE)
    found = shutil.which(named or PROGRAM)
    if found is None:
        where = f"{VARIABLE} names {named}, which cannot be run" if named else f"there is no {PROGRAM} on the PATH"
        raise ServiceError(
            f"The engine {LLAMA_CPP} needs llama.cpp's server, and {where}: install llama.cpp and set {VARIABLE} to "
            f"its {PROGRAM}, or leave --engine out"
        )
    return Path(found).absolute()
