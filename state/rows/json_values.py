"""The rows of one JSON value, read through a window: memory holds a row and a megabyte, however large the file.

A row's end is found by its brackets, and only then is it decoded. So a row that is not JSON is one wrong row, and the
next one is read, as long as quotes and brackets are closed.
"""

import re
from collections.abc import Iterator
from io import BufferedIOBase

from state.rows.problems import Wrong

CHUNK = 2**20
MAX_ROW_BYTES = 64 * 2**20
"""Of one row. A quote that is never closed makes a row of the rest of the file, which may be larger than memory."""

LISTS = ("data", "train", "rows", "examples")
"""Keys under which an object keeps its list of rows."""

_SPACE = re.compile(rb"[ \t\r\n]*+")
_SCALAR = re.compile(rb"[^ \t\r\n,\]}]*+")
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_UP_TO_BRACKET = re.compile(rb'(?:[^"{}\[\]]++|"[^"\\]*+(?:\\.[^"\\]*+)*+")*+', re.DOTALL)


class Window:
    """The part of a stream that is in memory, and the line at which it begins to be unread."""

    def __init__(self, stream: BufferedIOBase) -> None:
        self.line = 1
        self._stream = stream
        self._bytes = b""
        self._at = 0

    def next_byte(self) -> bytes:
        """The next byte that is no blank, still unread; nothing at the end."""
        while True:
            self._pass_to(_end(_SPACE, self._bytes, self._at))
            if self._at < len(self._bytes):
                return self._bytes[self._at : self._at + 1]
            if not self._more():
                return b""

    def pass_byte(self) -> None:
        self._pass_to(self._at + 1)

    def value(self) -> bytes:
        """The next value, whatever is between its brackets. Raises Wrong where it has no end."""
        match self.next_byte():
            case b"{" | b"[":
                end = self._end_of_brackets()
            case b'"':
                end = self._end_of(_STRING)
            case _:
                end = self._end_of(_SCALAR)
        value = self._bytes[self._at : end]
        self._pass_to(end)
        return value

    def _end_of_brackets(self) -> int:
        depth = 0
        at = self._at
        while True:
            at = _end(_UP_TO_BRACKET, self._bytes, at)
            if at == len(self._bytes) or self._bytes[at] == ord('"'):  # or a string that goes on behind the window
                at -= self._at
                self._need_more()
                continue
            depth += 1 if self._bytes[at] in b"{[" else -1
            at += 1
            if depth == 0:
                return at

    def _end_of(self, pattern: re.Pattern[bytes]) -> int:
        while True:
            found = pattern.match(self._bytes, self._at)
            if found is not None and found.end() < len(self._bytes):
                return found.end()
            if not self._more():
                if found is None:
                    raise Wrong("broken_file", "ends in the middle of a text: the file was cut off, or misses a quote")
                return found.end()

    def _need_more(self) -> None:
        if not self._more():
            message = "the file ends in the middle of this row: it was cut off, or misses a quote or a bracket"
            raise Wrong("broken_file", message)

    def _more(self) -> bool:
        """Read on, as much again as is unread: the pieces of a large row are looked at once or twice, not each time."""
        unread = self._bytes[self._at :]
        if len(unread) > MAX_ROW_BYTES:
            message = f"is larger than {MAX_ROW_BYTES // 2**20} MiB: split it, or close its quote or bracket"
            raise Wrong("row_too_large", message)
        read = self._stream.read(max(CHUNK, len(unread)))
        self._bytes = unread + read
        self._at = 0
        return bool(read)

    def _pass_to(self, end: int) -> None:
        self.line += self._bytes.count(b"\n", self._at, end)
        self._at = end


def rows(window: Window) -> Iterator[tuple[int, bytes | Wrong]]:
    """Each row's line and bytes, or what is wrong with the file there, behind which nothing can be read."""
    try:
        match window.next_byte():
            case b"[":
                yield from _rows_of_list(window)
            case b"{":
                yield from _rows_of_object(window)
        if window.next_byte():
            raise Wrong("broken_file", "something follows the end of the list: remove it")  # noqa: TRY301
    except Wrong as wrong:
        yield window.line, wrong


def _rows_of_list(window: Window) -> Iterator[tuple[int, bytes]]:
    window.pass_byte()
    if window.next_byte() == b"]":
        window.pass_byte()
        return
    while True:
        window.next_byte()
        line = window.line
        yield line, window.value()
        after = window.next_byte()
        if after not in {b",", b"]"}:
            message = (
                "the list of rows is never closed: the file was cut off" if not after else "a comma is missing here"
            )
            raise Wrong("broken_file", message)
        window.pass_byte()
        if after == b"]":
            return


def _rows_of_object(window: Window) -> Iterator[tuple[int, bytes]]:
    """The rows under an object's key for them. Its other keys are passed over."""
    window.pass_byte()
    found = False
    while window.next_byte() == b'"':
        key = window.value()[1:-1].decode("utf-8", "replace")
        if window.next_byte() != b":":
            raise Wrong("broken_file", "a colon is missing here")
        window.pass_byte()
        if key.lower() in LISTS and window.next_byte() == b"[":
            if found:
                raise Wrong("broken_file", f"{key!r} is a second list of rows: write one list into a file")
            found = True
            yield from _rows_of_list(window)
        else:
            window.value()
        if window.next_byte() == b",":
            window.pass_byte()
    if window.next_byte() != b"}":
        raise Wrong("broken_file", "the object is never closed: the file was cut off, or misses a quote")
    window.pass_byte()
    if not found:
        keys = ", ".join(LISTS)
        raise Wrong(
            "broken_file", f"is one object without a list of rows: write a list, or keep it under one of {keys}"
        )


def _end(pattern: re.Pattern[bytes], searched: bytes, at: int) -> int:
    """The end of a match of a pattern that matches always, if only nothing."""
    found = pattern.match(searched, at)
    assert found is not None  # noqa: S101
    return found.end()
