"""The text that tiny-python is trained on: the Python standard library, as source and as instructions.

Instruction documents are made from the library itself: the first sentence of a function's docstring asks, the
function's source answers. They teach the form `### Instruction: ... ### Response: ...` and no answer of the demo's.
"""

import ast
import hashlib
import platform
import sysconfig
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

SKIPPED = {"site-packages", "test", "tests", "idle_test", "lib2to3", "__pycache__", "turtledemo", "ensurepip"}
MAX_RESPONSE_CHARS = 1200
HELD_OUT_EVERY = 50  # every 50th file is never trained on


class Corpus(Struct, frozen=True):
    """Documents in a fixed order, and what identifies them."""

    training: list[str]
    held_out: list[str]
    num_files: int
    num_bytes: int
    sha256: str
    python_version: str


def read() -> Corpus:
    """The running interpreter's own standard library."""
    root = Path(sysconfig.get_paths()["stdlib"])
    files = sorted(file for file in root.rglob("*.py") if not SKIPPED & set(file.relative_to(root).parts))
    digest, num_bytes = hashlib.sha256(), 0
    training: list[str] = []
    held_out: list[str] = []
    for index, file in enumerate(files):
        raw = file.read_bytes()
        digest.update(raw)
        num_bytes += len(raw)
        source = raw.decode("utf-8", errors="replace")
        documents = held_out if index % HELD_OUT_EVERY == 0 else training
        documents.append(source)
        documents.extend(instructions(source))
    return Corpus(training, held_out, len(files), num_bytes, digest.hexdigest(), platform.python_version())


def instructions(source: str) -> Iterator[str]:
    """One document for each short function with a docstring."""
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return
    for node in ast.walk(tree):
        if not isinstance(node, ast.FunctionDef):
            continue
        asked = (ast.get_docstring(node) or "").split("\n\n")[0].replace("\n", " ").strip()
        if not 10 <= len(asked) <= 200:
            continue
        answer = ast.unparse(_without_docstring(node))
        if len(answer) <= MAX_RESPONSE_CHARS:
            yield f"### Instruction:\n{asked}\n\n### Response:\n{answer}"


def _without_docstring(node: ast.FunctionDef) -> ast.FunctionDef:
    node.body = node.body[1:] or [ast.Pass()]
    return node
