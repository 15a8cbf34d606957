"""What an adapter, a data set or a job may be called: one path component that is the same on every system."""

import re
from collections.abc import Collection

from state.errors import ServiceError

RULE = "1 to 100 characters: letters, digits, '.', '_' and '-', starting with a letter or a digit"
RESERVED_ADAPTER_NAMES = frozenset({"unload", "import"})  # words of the URL
RESERVED_DATASET_NAMES = frozenset({"upload"})  # likewise

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def is_valid(name: str) -> bool:
    return _NAME.fullmatch(name) is not None


def check(field: str, name: str) -> None:
    """Raise ServiceError unless `name` may be used as a folder's name."""
    if not is_valid(name):
        raise ServiceError(f"{field} {name!r} is not a valid name: use {RULE}")


def check_adapter(field: str, name: str) -> None:
    _check_unreserved(field, name, RESERVED_ADAPTER_NAMES)


def check_dataset(field: str, name: str) -> None:
    _check_unreserved(field, name, RESERVED_DATASET_NAMES)


def _check_unreserved(field: str, name: str, reserved: Collection[str]) -> None:
    check(field, name)
    if name in reserved:
        raise ServiceError(f"{field} {name!r} is reserved: it is a word of the API's URLs")
