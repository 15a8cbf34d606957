"""The main job end to end, as `make demo` does it."""

import re
import subprocess
import sys

from tests.server import CHECKOUT


def test_the_adapter_gives_the_trained_answers_and_the_base_does_not() -> None:
    command = [sys.executable, "-m", "demo.run"]

    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=600, check=False)

    assert done.returncode == 0, done.stderr
    counts = re.search(r"gave (\d+) of the (\d+) trained answers before, (\d+) with the adapter", done.stdout)
    assert counts is not None, done.stdout
    before, total, after = map(int, counts.groups())
    assert 30 <= total <= 50
    assert before == 0
    assert after >= 0.9 * total
