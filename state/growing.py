"""Files that grow at their end, read on from where a reader has got to.

A position is an offset and a checksum of what stands before it. So it stays good whoever remembers it and for however
long, and a file that was written anew meanwhile is known by it.
"""

import errno
import os
import zlib
from pathlib import Path

from msgspec import Struct

from state.errors import BrokenFile

WITNESS = 256  # bytes before an offset that its checksum is of


class Position(Struct, frozen=True):
    offset: int = 0
    checksum: int = 0


BEGINNING = Position()


class Part(Struct, frozen=True):
    """Bytes of a file, and the few before them."""

    offset: int
    before: bytes
    content: bytes

    def position(self, taken: int) -> Position:
        """Where a reader has got to who has taken so many of the bytes."""
        return Position(self.offset + taken, zlib.crc32((self.before + self.content[:taken])[-WITNESS:]))


def read_on(file: Path, position: Position, most: int) -> Part | None:
    """What follows a position, up to `most` bytes; None where what stands before it is not what it was.

    Raises BrokenFile.
    """
    before = min(position.offset, WITNESS)
    part = read_at(file, position.offset - before, before + most)
    if zlib.crc32(part.content[:before]) != position.checksum or len(part.content) < before:
        return None
    return Part(position.offset, part.content[:before], part.content[before:])


def read_at(file: Path, offset: int, most: int) -> Part:
    """Bytes from an offset on; of a negative one, counted from the file's end. A file that is not there is empty.

    Raises BrokenFile for a folder, a pipe, or a disk that fails.
    """
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK)  # a pipe would wait for a writer
        try:
            size = os.fstat(descriptor).st_size
            begin = max(0, size + offset) if offset < 0 else min(offset, size)
            return Part(begin, b"", os.pread(descriptor, most, begin))
        finally:
            os.close(descriptor)
    except FileNotFoundError:
        return Part(0, b"", b"")
    except OSError as error:
        reason = "is a pipe" if error.errno == errno.ESPIPE else error.strerror or str(error)
        raise BrokenFile(file, reason) from error
