"""`python -m benchmarks.gpu.one NAME FOLDER`: one check, once a line with the seconds that are left comes by stdin."""

import json
import logging
import signal
import sys
import traceback
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from benchmarks.gpu.setting import Failed, Setting, Skipped
from runtime.process import cpu


def main() -> None:
    cpu.prepare()
    logging.basicConfig(level=logging.INFO)  # why something is not as it should be
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what it started is ended
    name, folder = sys.argv[1], Path(sys.argv[2])
    module, _, function = name.partition(".")
    check = getattr(import_module(f"benchmarks.gpu.{module}"), function)
    line = sys.stdin.readline()
    if not line:
        return
    status, figure = answer(check, Setting(folder, float(line)))
    (folder / "outcome.json").write_text(json.dumps({"status": status, "figure": figure}))


def answer(check: Callable[[Setting], str], setting: Setting) -> tuple[str, str]:
    """The check's outcome, its traceback on stderr where it has one."""
    try:
        return "ok", check(setting)
    except Skipped as reason:
        return "skipped", str(reason)
    except Failed as reason:
        traceback.print_exc()
        return "FAILED", str(reason)
    except Exception as error:  # noqa: BLE001  whatever it was, it is this check's and the next one runs
        traceback.print_exc()
        first = next(iter(str(error).strip().splitlines()), "")
        return "FAILED", f"{type(error).__name__}: {first[:200]}"


if __name__ == "__main__":
    main()
