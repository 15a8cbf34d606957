"""A short turn of the torture command: kills at random, and nothing lost."""

import json
import subprocess
import sys

from tests.server import CHECKOUT


def test_a_few_random_kills_lose_nothing() -> None:
    command = [sys.executable, "-m", "benchmarks.torture", "--kills", "4", "--minutes", "3"]

    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=600, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
    counts = json.loads(done.stdout[: done.stdout.rindex("}") + 1])
    assert counts["kills"] >= 1
    assert counts["jobs equal to the undisturbed one"] == counts["jobs"]
