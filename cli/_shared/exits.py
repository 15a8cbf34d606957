"""The codes that every command ends with. docs/cli.md has the same table."""

from enum import IntEnum


class Exit(IntEnum):
    DONE = 0
    REFUSED = 1
    """The server said no, or something failed; its sentence is on standard error."""
    USAGE = 2
    """Click's own: an unknown option, an argument too many."""
    NO = 3
    """The question was answered, and the answer is no: it does not fit, rows are wrong, and so on."""
    NOT_FOUND = 4
    JOB_FAILED = 5
    JOB_CANCELLED = 6
    NO_SERVER = 7
    INTERRUPTED = 130


class Failure(Exception):
    """Ends the command: a sentence for standard error, and the code."""

    def __init__(self, sentence: str, code: Exit = Exit.REFUSED) -> None:
        super().__init__(sentence)
        self.code = code
