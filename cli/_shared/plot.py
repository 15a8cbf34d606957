"""Lines of points on a terminal, of Unicode's braille: each character has two dots by four."""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from rich.console import Console
from rich.text import Text

COLORS = ("cyan", "yellow", "green", "magenta", "blue", "red")
HEIGHT = 16
"""Characters, unless the terminal has fewer."""
DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
"""The bit of each dot: by row, then by column."""
BRAILLE = 0x2800


class Line(NamedTuple):
    label: str
    points: list[tuple[float, float]]


class Canvas:
    """Dots in characters; the line drawn last gives a character its colour."""

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self._bits = [[0] * width for _ in range(height)]
        self._colors = [[""] * width for _ in range(height)]

    def dot(self, x: float, y: float, color: str) -> None:
        """Both from 0 to 1, `y` upwards."""
        column, row = round(x * (2 * self.width - 1)), round((1 - y) * (4 * self.height - 1))
        self._bits[row // 4][column // 2] |= DOTS[row % 4][column % 2]
        self._colors[row // 4][column // 2] = color

    def row(self, number: int) -> Text:
        text = Text()
        for bits, color in zip(self._bits[number], self._colors[number], strict=True):
            text.append(chr(BRAILLE + bits) if bits else " ", style=color)
        return text


def draw(lines: Sequence[Line]) -> None:
    console = Console()
    points = [point for line in lines for point in line.points]
    if not points:
        console.print("No points yet.")
        return
    left, right = min(x for x, _ in points), max(x for x, _ in points)
    low, high = min(y for _, y in points), max(y for _, y in points)
    margin = max(len(f"{low:.4g}"), len(f"{high:.4g}"))
    canvas = Canvas(max(10, console.width - margin - 2), max(4, min(HEIGHT, console.height - 5)))
    for number, line in enumerate(lines):
        _stroke(canvas, [((x - left) / ((right - left) or 1), (y - low) / ((high - low) or 1)) for x, y in line.points],
                COLORS[number % len(COLORS)])  # fmt: skip
    for row in range(canvas.height):
        label = f"{high:.4g}" if row == 0 else f"{low:.4g}" if row == canvas.height - 1 else ""
        console.print(Text(f"{label:>{margin}} ") + canvas.row(row), no_wrap=True, crop=True)
    ends = f"{right:g}".rjust(canvas.width - len(f"{left:g}"))
    console.print(Text(f"{'':{margin}} {left:g}{ends}", style="dim"))
    for number, line in enumerate(lines):
        console.print(Text(f"{'':{margin}} ── {line.label}", style=COLORS[number % len(COLORS)]))


def _stroke(canvas: Canvas, points: Sequence[tuple[float, float]], color: str) -> None:
    """Dots from each point to the next."""
    canvas.dot(*points[0], color)
    for (x0, y0), (x1, y1) in pairwise(points):
        count = int(max(abs(x1 - x0) * 2 * canvas.width, abs(y1 - y0) * 4 * canvas.height)) + 1
        for part in range(1, count + 1):
            canvas.dot(x0 + (x1 - x0) * part / count, y0 + (y1 - y0) * part / count, color)
