"""A file that a request brings, as the body itself or in a form, written to the disk as it comes."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, BinaryIO

from litestar import Request
from litestar.exceptions import HTTPException
from msgspec import Struct
from multipart import MultipartError, MultipartSegment, PushMultipartParser

from handlers._http.bodies import pieces

FORM = "multipart/form-data"
MAX_FIELD = 2**20  # bytes of a field of a form that is no file


class ReceivedFile(Struct):
    """`name` is the file's own, where the request says it; `fields` are those of the form beside it."""

    name: str | None
    fields: dict[str, str]


async def receive(request: Request[Any, Any, Any], target: Path, limit: int) -> ReceivedFile:
    """Write the file to `target`. Raises HTTPException for more bytes than `limit`, and for a form without a file."""
    kind, options = request.content_type
    with target.open("wb") as file:
        if kind != FORM:
            async for piece in pieces(request, limit):
                await asyncio.to_thread(file.write, piece)
            return ReceivedFile(None, {})
        if "boundary" not in options:
            raise HTTPException(f"The Content-Type {FORM} needs its boundary", status_code=400)
        try:
            return await _from_form(pieces(request, limit), options["boundary"], file)
        except MultipartError as error:
            raise HTTPException(f"The form cannot be read: {error}", status_code=400) from error


async def _from_form(body: AsyncIterator[bytes], boundary: str, file: BinaryIO) -> ReceivedFile:
    form = _Form(file)
    with PushMultipartParser(boundary, max_segment_count=20) as parser:
        async for piece in body:
            for part in parser.parse(piece):
                await form.take(part)
    if form.received.name is None:
        raise HTTPException("The form has no file: send one, as curl does with -F file=@rows.jsonl", status_code=400)
    return form.received


class _Form:
    """A form as its parts come: the head of a field, its content in pieces, and None at its end."""

    def __init__(self, file: BinaryIO) -> None:
        self.received = ReceivedFile(None, {})
        self._file = file
        self._name = ""
        self._text: bytearray | None = None
        """Of the field that is read; None for the file's."""

    async def take(self, part: MultipartSegment | bytearray | None) -> None:
        match part:
            case MultipartSegment():
                self._begin(part)
            case None:
                if self._text is not None:
                    self.received.fields[self._name] = self._text.decode(errors="replace")
            case _ if self._text is None:
                await asyncio.to_thread(self._file.write, part)
            case _:
                self._add_text(part)

    def _begin(self, head: MultipartSegment) -> None:
        self._name, self._text = head.name, None if head.filename else bytearray()
        if head.filename:
            if self.received.name is not None:
                raise HTTPException("Send one file at a time", status_code=400)
            self.received.name = head.filename

    def _add_text(self, piece: bytearray) -> None:
        if self._text is not None:
            self._text += piece
            if len(self._text) > MAX_FIELD:
                raise HTTPException(f"The form's field {self._name} is larger than 1 MiB", status_code=413)
