"""How a process of Lathe's logs: a line for eyes, or JSON for programs; each with the request that it belongs to."""

import logging
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, Literal, get_args

import msgspec

Format = Literal["text", "json"]
FORMATS: tuple[str, ...] = get_args(Format)
LEVELS = ("debug", "info", "warning", "error")

REQUEST: ContextVar[str | None] = ContextVar("request", default=None)
"""The id of the request that is being answered, also in the threads that work for it."""


def configure(format: str, level: str) -> None:  # noqa: A002  the option's name
    """`format` is one of FORMATS, and `level` of LEVELS."""
    handler = logging.StreamHandler()
    handler.setFormatter(_Json() if format == "json" else _Text("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=level.upper(), handlers=[handler])


class _Text(logging.Formatter):
    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  logging's name
        line, request = super().formatMessage(record), REQUEST.get()
        return line if request is None else f"{line} [{request}]"


class _Json(logging.Formatter):
    """One object a line. What is logged with `extra={"fields": …}` are fields of their own."""

    def format(self, record: logging.LogRecord) -> str:
        told: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if (request := REQUEST.get()) is not None:
            told["request"] = request
        told |= getattr(record, "fields", {})
        if record.exc_info:
            told["traceback"] = self.formatException(record.exc_info)
        return msgspec.json.encode(told, enc_hook=str).decode()
