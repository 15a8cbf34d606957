"""What can go wrong for a reason that the user can mend. The message is the sentence that they read."""

from pathlib import Path


class ServiceError(Exception):
    """A refusal in words: what, where, and what to do instead.

    OpenAI's protocol tells, beside the words, which parameter is wrong, and a code for programs, where they are known.
    """

    def __init__(self, sentence: str, *, param: str | None = None, code: str | None = None) -> None:
        super().__init__(sentence)
        self.param = param
        self.code = code


class NotFound(ServiceError):
    """The named thing does not exist."""


class BrokenFile(ServiceError):
    """A state file that cannot be read as what it should be. The file is left as it is."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path.parent.name}/{path.name}: {reason}")
        self.path = path
        self.reason = reason


class LoadFailed(ServiceError):
    """A base or an adapter that cannot be loaded; what was loaded before still answers."""


class Busy(ServiceError):
    """As much is under way as there may be; a moment later it may be less."""


def first_line(error: BaseException) -> str:
    """What a library's error says first; its type where it says nothing."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
