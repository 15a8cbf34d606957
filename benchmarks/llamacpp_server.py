"""llama.cpp's own server, built from the sources that its Python package brings, for comparison."""

import os
import subprocess
import sys
import tarfile
from pathlib import Path

from benchmarks.llamacpp import PACKAGE
from benchmarks.server import CHECKOUT

FOLDER = CHECKOUT / ".cache" / "llamacpp-server"
OPTIONS = ("-DLLAMA_CURL=OFF", "-DLLAMA_BUILD_TESTS=OFF", "-DLLAMA_BUILD_EXAMPLES=OFF", "-DCMAKE_BUILD_TYPE=Release")
CONTEXT = 2048  # tokens of each slot


def command(gguf: Path, slots: int) -> list[str]:
    """What serves a GGUF file in 4 bits to so many at once; the first call builds the server, which takes minutes."""
    programs = _built()
    small = gguf.with_name("q4_0.gguf")
    subprocess.run([programs / "llama-quantize", gguf, small, "q4_0"], check=True, capture_output=True)
    options = ["--parallel", str(slots), "--ctx-size", str(slots * CONTEXT), "--model", str(small)]
    return [str(programs / "llama-server"), *options, "--host", "127.0.0.1"]


def _built() -> Path:
    build = FOLDER / "build"
    if not (build / "bin" / "llama-server").exists():
        FOLDER.mkdir(parents=True, exist_ok=True)
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:"]
        subprocess.run([*pip, "--dest", FOLDER, PACKAGE], check=True)
        [archive] = FOLDER.glob("*.tar.gz")
        with tarfile.open(archive) as opened:
            opened.extractall(FOLDER, filter="data")
        [source] = FOLDER.glob("*/vendor/llama.cpp")
        subprocess.run(["cmake", "-S", source, "-B", build, *OPTIONS], check=True, capture_output=True)
        targets = ["--parallel", str(os.cpu_count()), "--target", "llama-server", "llama-quantize"]
        subprocess.run(["cmake", "--build", build, *targets], check=True, capture_output=True)
    return build / "bin"
