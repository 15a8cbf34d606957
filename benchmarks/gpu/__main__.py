"""`python -m benchmarks.gpu`: on the day that a machine with a CUDA GPU is at hand, Lathe on it, in nine minutes.

Python 3.12, torch 2.11 or newer for CUDA 13 and numpy must be there; nothing is downloaded. What else is needed is made
into a folder of some 40 MiB where PyPI can be reached, brought along, and used from there:

    python -m benchmarks.gpu bring wheels/
    python -m benchmarks.gpu --wheels wheels/

Prints a line as each check ends, most important first; what fails has its traceback in the file that its line names.
Ends with the number of checks that failed. Without a GPU it does what a CPU can do, with a tiny model.
"""

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from benchmarks.gpu import wheels
from benchmarks.gpu.checks import CHECKS
from benchmarks.gpu.running import Run


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--wheels", type=Path, help="a folder that `bring` made, for what this machine lacks")
    parser.add_argument("--only", nargs="+", metavar="CHECK", help="some checks, as their lines name them")
    parser.add_argument("--minutes", type=float, default=9.0, help="for all of it (default: %(default)s)")
    parser.add_argument("--results", type=Path, help="a folder for logs and results.jsonl (default: a temporary one)")
    bring = parser.add_subparsers(dest="command").add_parser("bring", help="make the folder of wheels")
    bring.add_argument("folder", type=Path)
    bring.add_argument("--cuda", default="13.0", help="the version that torch is built for there (default: 13.0)")
    options = parser.parse_args()
    if options.command == "bring":
        try:
            wheels.bring(options.folder, options.cuda)
        except (wheels.TooLarge, ValueError) as error:
            print(error, file=sys.stderr)
            return 1
        return 0
    return check(options)


def check(options: argparse.Namespace) -> int:
    known = {each.name: each for each in CHECKS}
    if unknown := set(options.only or ()) - known.keys():
        print(f"There is no {', '.join(sorted(unknown))}; there are {', '.join(known)}", file=sys.stderr)
        return 2
    if options.wheels is None and (lacking := wheels.missing()):
        print(
            f"This machine lacks {', '.join(lacking)}: where PyPI can be reached, "
            "`python -m benchmarks.gpu bring FOLDER` makes a folder of them; come back with it and `--wheels FOLDER`",
            file=sys.stderr,
        )
        return 2
    results = options.results or Path(tempfile.mkdtemp(prefix="lathe-gpu-results-"))
    results.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix="lathe-gpu-"))
    print(f"Logs and results.jsonl: {results}", flush=True)
    try:
        environment = {}
        if options.wheels is not None:
            wheels.unpack(options.wheels, scratch / "site")
            environment["PYTHONPATH"] = str(scratch / "site")
        checks = [each for each in CHECKS if options.only is None or each.name in options.only]
        outcomes = Run(results.resolve(), scratch, environment).all(checks, 60 * options.minutes)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    counts = {status: [one.status for one in outcomes].count(status) for status in ("ok", "FAILED", "skipped")}
    print(", ".join(f"{count} {status}" for status, count in counts.items()))
    return counts["FAILED"]


if __name__ == "__main__":
    sys.exit(main())
