"""From a completion's text to its calls of tools, piece by piece.

What looks like a call and is none stays text: a function that there is not, or something that is no JSON.
"""

import secrets
import string
from collections.abc import Sequence
from typing import Literal

import regex

from runtime.inference.tools.forms import Form
from runtime.messages.inference import Call, CallPiece

ID_LETTERS = string.ascii_letters + string.digits
ID_LENGTH = 9  # Mistral's templates take no other
ID_BEFORE_ARGUMENTS = r"(?:\[CALL_ID\]\w*)?"  # what the model calls its call: nobody has asked for that name
ID_BEHIND_ARGUMENTS = r'(?:,\s*"id"\s*:\s*"[^"]*"\s*)?'

Said = tuple[str, list[CallPiece]]


class CallReader:
    """One completion's text and calls. `special` are the texts of special tokens, which are none of its text."""

    def __init__(self, form: Form, names: Sequence[str], special: Sequence[str], *, parallel: bool) -> None:
        one_of = "|".join(map(regex.escape, sorted(names, key=len, reverse=True)))
        call = rf"(?P<name>{one_of}){ID_BEFORE_ARGUMENTS}{_loose(form.middle)}\s*\{{"
        before = rf"\A\s*(?:{_loose(form.before)})?\s*" if form.is_whole_answer else ""
        self._first = regex.compile(before + _loose(form.begin) + call)
        self._next = regex.compile(rf"\s*{_loose(form.between)}\s*{_loose(form.head)}{call}")
        self._tail = regex.compile(rf"\s*{ID_BEHIND_ARGUMENTS}{_loose(form.tail)}")
        self._closing = regex.compile(rf"\s*{_loose(form.closing)}")
        self._special = regex.compile("|".join(map(regex.escape, special)) or r"(?!)")
        self._is_whole_answer = form.is_whole_answer
        self._parallel = parallel
        self._at: Literal["text", "arguments", "tail", "between"] = "text"
        self._held = ""
        self._arguments = _Arguments()
        self.text = ""
        self.calls: list[Call] = []

    @property
    def is_complete(self) -> bool:
        """Whether there is the one call that there may be."""
        return bool(self.calls) and not self._parallel and self._at == "between"

    def add(self, text: str, *, is_last: bool = False) -> Said:
        """What is certain by now: text, and pieces of calls."""
        self._held += text
        found: list[str] = []
        pieces: list[CallPiece] = []
        while self._held and not self.is_complete and self._step(found, pieces, is_last=is_last):
            pass
        said = self._special.sub("", "".join(found))
        self.text += said
        return said, pieces

    def _step(self, found: list[str], pieces: list[CallPiece], *, is_last: bool) -> bool:
        """Read on. Returns False where more text is needed."""
        match self._at:
            case "text":
                return self._read_text(found, pieces, is_last=is_last)
            case "arguments":
                self._read_arguments(pieces)
            case "tail":
                return self._read_tail(is_last=is_last)
            case "between":
                return self._read_between(pieces, is_last=is_last)
        return True

    def _read_text(self, found: list[str], pieces: list[CallPiece], *, is_last: bool) -> bool:
        if self._is_whole_answer and (self.text or found or self.calls):
            begin = None
        else:
            begin = self._first.search(self._held, partial=not is_last)
        certain = len(self._held) if begin is None else begin.start()
        said = self._held[:certain]
        is_told = bool(said.strip() or (self.text and not self.calls) or found)
        if begin is not None and not begin.partial:
            found.append(said if is_told else "")
            self._open(begin, pieces)
            return True
        if is_told or (is_last and not self.calls):  # else blanks that may be nothing but what stands around calls
            found.append(said)
            self._held = self._held[certain:]
        return False

    def _open(self, begin: "regex.Match[str]", pieces: list[CallPiece]) -> None:
        id_ = "".join(secrets.choice(ID_LETTERS) for _ in range(ID_LENGTH))
        self.calls.append(Call(id_, begin["name"], ""))
        pieces.append(CallPiece(len(self.calls) - 1, "", id_, begin["name"]))
        self._held = self._held[begin.end() - 1 :]
        self._arguments = _Arguments()
        self._at = "arguments"

    def _read_arguments(self, pieces: list[CallPiece]) -> None:
        size = self._arguments.read(self._held)
        piece, self._held = self._held[:size], self._held[size:]
        made = self.calls[-1]
        self.calls[-1] = Call(made.id, made.name, made.arguments + piece)
        pieces.append(CallPiece(len(self.calls) - 1, piece))
        if self._arguments.is_complete:
            self._at = "tail"

    def _read_tail(self, *, is_last: bool) -> bool:
        tail = self._tail.match(self._held, partial=not is_last)
        if tail is not None and tail.partial:
            return False
        self._held = self._held[tail.end() :] if tail is not None else self._held
        self._at = "between"
        return True

    def _read_between(self, pieces: list[CallPiece], *, is_last: bool) -> bool:
        following = self._next.match(self._held, partial=not is_last)
        if following is not None and not following.partial:
            self._open(following, pieces)
            return True
        closing = self._closing.match(self._held, partial=not is_last)
        if following is not None or (closing is not None and closing.partial):
            return False
        self._held = self._held[closing.end() :] if closing is not None else self._held
        self._at = "text"
        return True


class _Arguments:
    """Finds the end of a JSON object."""

    def __init__(self) -> None:
        self._depth = 0
        self._in_string = self._is_escaped = False
        self.is_complete = False

    def read(self, text: str) -> int:
        """How much of the text belongs to it."""
        for at, letter in enumerate(text):
            if self._in_string:
                self._in_string = letter != '"' or self._is_escaped
                self._is_escaped = letter == "\\" and not self._is_escaped
            elif letter == '"':
                self._in_string = True
            elif letter in "{[":
                self._depth += 1
            elif letter in "}]":
                self._depth -= 1
                if self._depth == 0:
                    self.is_complete = True
                    return at + 1
        return len(text)


def _loose(text: str) -> str:
    """A pattern of a text, whatever blanks stand between its words and marks."""
    words = regex.findall(r"""[^\s{}\[\]":,;]+|\S""", text)
    pattern: str = regex.sub("arguments|parameters", "(?:arguments|parameters)", r"\s*".join(map(regex.escape, words)))
    return pattern
