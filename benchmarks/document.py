"""Where a benchmark's results stand in docs/performance.md: between two marks, to be replaced by the next run's."""

from pathlib import Path

PAGE = Path(__file__).resolve().parent.parent / "docs" / "performance.md"


def write(benchmark: str, model: str, text: str) -> None:
    """Replace what the page has of a benchmark and a model. Raises ValueError when it has no place for it."""
    page = PAGE.read_text()
    begin, end = f"<!-- benchmarks.{benchmark} {model} -->\n", "\n<!-- end -->"
    first = page.index(begin) + len(begin)
    PAGE.write_text(page[:first] + text + page[page.index(end, first) :])
