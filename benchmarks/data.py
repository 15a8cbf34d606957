"""`python -m benchmarks.data [ROWS ...]`: what a job's rows cost before its first step.

Makes a file of two-turn conversations, and has a process of its own read it, tokenize it with masks as a trainer does,
and map it again as a resumed one does. Prints rows a second, tokens, bytes on the disk, and the process's peak of
resident memory, of which what it takes before is told apart.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
SIZES = [10_000, 1_000_000]
TEXT = "the sum of two numbers is found by adding them and a list is sorted by comparing its items"
WORDS = TEXT.split()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows", nargs="*", type=int, default=SIZES, help="rows of the file (default: %(default)s)")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        measure(options.measure)
        return
    for size in options.rows:
        with tempfile.TemporaryDirectory() as folder:
            write(Path(folder) / "train.jsonl", size)
            print(f"\n{size:,} rows", flush=True)
            subprocess.run([sys.executable, "-m", "benchmarks.data", "--measure", folder], cwd=CHECKOUT, check=True)


def write(file: Path, size: int) -> None:
    with file.open("w") as opened:
        for number in range(size):
            said = [" ".join(WORDS[(number * 7 + turn * 5 + at) % len(WORDS)] for at in range(24)) for turn in range(4)]
            turns = [{"role": ("user", "assistant")[turn % 2], "content": said[turn]} for turn in range(4)]
            opened.write(json.dumps({"messages": turns}) + "\n")


def measure(folder: Path) -> None:
    from runtime.model.chat import ChatTemplate  # noqa: PLC0415  imports transformers
    from runtime.model.tokenizers import load_tokenizer  # noqa: PLC0415
    from runtime.trainer.tokenizing import Tokenizer  # noqa: PLC0415
    from state.row_source import RowSource  # noqa: PLC0415

    tokenizer = load_tokenizer(str(CHECKOUT / "models" / "tiny-python"))
    served = frozenset({tokenizer.eos_token_id})
    now = datetime(2026, 1, 1, tzinfo=UTC)
    how = Tokenizer(tokenizer, ChatTemplate(tokenizer), served, now, 2048, None, None, skip_invalid=False)
    source = RowSource("train.jsonl", str(folder / "train.jsonl"))
    before = _peak_mb()

    began = time.monotonic()
    count = sum(1 for _ in source.rows())
    read_s = time.monotonic() - began
    began = time.monotonic()
    made = how.tokenize(source, folder / "tokens")
    made_s = time.monotonic() - began
    began = time.monotonic()
    how.tokenize(source, folder / "tokens")
    mapped_s = time.monotonic() - began

    tokens, learned = int(made.rows.lengths.sum()), int(made.rows.targets.sum())
    on_disk = sum(file.stat().st_size for file in (folder / "tokens").iterdir())
    print(f"  read           {count / read_s:12,.0f} rows/s")
    print(f"  tokenized      {count / made_s:12,.0f} rows/s, {tokens / made_s:,.0f} tokens/s")
    print(f"  mapped again   {mapped_s:12.2f} s")
    print(f"  tokens         {tokens:12,} of which {learned:,} are learned")
    print(f"  on the disk    {on_disk / tokens:12.1f} bytes a token")
    print(f"  resident peak  {_peak_mb():12,.0f} MB, {before:,.0f} before")


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
