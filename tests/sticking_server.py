"""`python -m tests.sticking_server WHERE,... PYTHON main.py ...`: that server, whose first trainers are stuck.

Each is at one of these places, as tests/stuck_trainer.py has it: what is to happen to a trainer while it trains may
come as late as it likes. Those that it launches after them train to their ends.
"""

import runpy
import sys
from typing import Any

from runtime.server import processes


def stick(places: list[str]) -> None:
    """Have the trainers that this process starts stuck there."""
    start = processes.start

    def start_one(module: str, *arguments: str, **how: Any) -> Any:
        if module == "runtime.trainer" and places:
            return start("tests.stuck_trainer", *arguments, places.pop(0), **how)
        return start(module, *arguments, **how)

    processes.start = start_one


if __name__ == "__main__":
    places, _, *sys.argv = sys.argv[1:]
    stick(places.split(","))
    runpy.run_path(sys.argv[0], run_name="__main__")
