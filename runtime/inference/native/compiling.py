"""`python -m runtime.inference.native.compiling`: the kernels compiled, once for each version of their source.

That happens by itself when a worker first needs them; an image for machines without a compiler does it as it is built.
They are kept beside their source, or in the user's cache where that folder cannot be written to. `cc` is what a C
compiler is called on every system that has one; `CC` names another, as it does for make.
"""

import os
import platform
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

from runtime.inference.native.instructions import SETS, InstructionSet

SOURCE = Path(__file__).with_name("kernels")
FLAGS = ("-O3", "-std=c11", "-ffp-contract=off", "-shared", "-fPIC", "-pthread")
TIME_S = 300.0  # for the compiler, which takes three seconds


class Unavailable(Exception):
    """The machine cannot run the kernels, or not compile them."""


def compiled(instructions: InstructionSet) -> Path:
    """The library, made if it has to be. Raises Unavailable."""
    command = [*shlex.split(os.environ.get("CC") or "cc"), *FLAGS, *instructions.flags]
    name = f"{instructions.name}-{_digest(command)}.so"
    for folder in _folders():
        if (folder / name).exists():
            return folder / name
    reason = ""
    for folder in _folders():
        try:
            folder.mkdir(parents=True, exist_ok=True)
            _compile(command, folder / name)
        except OSError as error:
            reason = str(error)
        else:
            return folder / name
    raise Unavailable(f"the compiled kernels cannot be kept: {reason}")


def _compile(command: list[str], to: Path) -> None:
    """In place in one step: several workers may do this at once, and may be killed. Raises OSError, Unavailable."""
    with tempfile.TemporaryDirectory(dir=to.parent, prefix="compiling-") as folder:
        made = Path(folder) / to.name
        files = ["-o", str(made), str(SOURCE / "pass.c"), "-lm"]
        try:
            subprocess.run([*command, *files], check=True, capture_output=True, text=True, timeout=TIME_S)  # noqa: S603
        except FileNotFoundError as error:
            raise Unavailable(f"there is no C compiler ({command[0]}) to compile the faster kernels with") from error
        except subprocess.CalledProcessError as error:
            said = error.stderr.strip().splitlines() or [f"it ended with {error.returncode}"]
            raise Unavailable(f"{command[0]} cannot compile the kernels: {said[-1]}") from error
        except subprocess.TimeoutExpired as error:
            raise Unavailable(f"{command[0]} did not compile the kernels in {TIME_S:.0f} s") from error
        made.replace(to)


def _folders() -> Iterator[Path]:
    yield SOURCE.parent / "compiled"
    yield Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lathe"


def _digest(command: list[str]) -> str:
    """Of all that the result depends on, but for the compiler's version."""
    digest = sha256(shlex.join(command).encode())
    for file in sorted(SOURCE.iterdir()):
        digest.update(file.name.encode() + file.read_bytes())
    return digest.hexdigest()[:16]


if __name__ == "__main__":
    try:
        for instructions in SETS:
            if instructions.machine == platform.machine():
                print(compiled(instructions))  # noqa: T201
    except Unavailable as why:
        sys.exit(str(why))
