"""The kernels as a library: compiled once for each version of their source, and kept beside it or in the user's cache.

`cc` is what a C compiler is called on every system that has one; `CC` names another, as it does for make.
"""

import ctypes as c
import os
import shlex
import subprocess
import tempfile
from collections.abc import Iterator
from functools import cache
from hashlib import sha256
from pathlib import Path

import torch

from runtime.inference.native.structures import Model, Pass
from state.errors import first_line

SOURCE = Path(__file__).with_name("kernels")
NEEDED = ("avx512_f", "avx512_bw", "avx512_vl", "avx512_dq", "avx512_bf16", "fma3")
FLAGS = [
    *("-O3", "-std=c11", "-shared", "-fPIC", "-pthread"),
    *("-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512dq", "-mavx512bf16", "-mfma"),
]
TIME_S = 300.0  # for the compiler, which takes three seconds


class Unavailable(Exception):
    """The machine cannot run the kernels, or not compile them."""


@cache
def load() -> c.CDLL:
    """The library of this checkout's kernels, compiled if it has to be. Raises Unavailable."""
    capabilities = torch.cpu.get_capabilities()
    missing = [name for name in NEEDED if not capabilities.get(name)]
    if missing:
        raise Unavailable(f"this CPU has no {missing[0]}")
    try:
        loaded = c.CDLL(str(_compiled()))
    except OSError as error:
        raise Unavailable(f"the compiled kernels cannot be loaded: {error}") from error
    loaded.lathe_assemble.argtypes = [c.c_int]
    loaded.lathe_assemble.restype = c.c_void_p
    for function, result in ((loaded.lathe_scratch, c.c_int64), (loaded.lathe_pass, c.c_int)):
        function.argtypes = [c.c_void_p, c.POINTER(Model), c.POINTER(Pass)]
        function.restype = result
    return loaded


@cache
def team(threads: int) -> int:
    """Threads that compute passes, for the life of the process. Raises Unavailable."""
    assembled: int | None = load().lathe_assemble(threads)
    if assembled is None:
        raise Unavailable(f"{threads} threads cannot be started")
    return assembled


def _compiled() -> Path:
    compiler = os.environ.get("CC") or "cc"
    name = f"kernels-{_digest(compiler)}.so"
    for folder in _folders():
        if (folder / name).exists():
            return folder / name
    reason = "there is no folder to keep it in"
    for folder in _folders():
        try:
            folder.mkdir(parents=True, exist_ok=True)
            _compile(compiler, folder / name)
        except PermissionError as error:
            reason = str(error)
        else:
            return folder / name
    raise Unavailable(f"the kernels cannot be kept: {reason}")


def _compile(compiler: str, to: Path) -> None:
    """In place in one step: several workers may do this at once, and each may be killed. Raises OSError."""
    with tempfile.TemporaryDirectory(dir=to.parent, prefix="compiling-") as folder:
        made = Path(folder) / to.name
        command = [*shlex.split(compiler), *FLAGS, "-o", str(made), str(SOURCE / "pass.c"), "-lm"]
        try:
            subprocess.run(command, check=True, capture_output=True, text=True, timeout=TIME_S)  # noqa: S603  the user's own compiler
        except FileNotFoundError as error:
            raise Unavailable(f"there is no C compiler ({compiler}) to compile the faster kernels with") from error
        except subprocess.CalledProcessError as error:
            raise Unavailable(f"{compiler} cannot compile the kernels: {first_line(error.stderr)}") from error
        except subprocess.TimeoutExpired as error:
            raise Unavailable(f"{compiler} did not compile the kernels in {TIME_S:.0f} s") from error
        made.replace(to)


def _folders() -> Iterator[Path]:
    yield SOURCE.parent / "compiled"
    yield Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lathe"


def _digest(compiler: str) -> str:
    """Of all that the result depends on, but for the compiler's version."""
    digest = sha256(shlex.join([compiler, *FLAGS]).encode())
    for file in sorted(SOURCE.iterdir()):
        digest.update(file.name.encode() + file.read_bytes())
    return digest.hexdigest()[:16]
