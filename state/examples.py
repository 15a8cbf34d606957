"""Texts to train on, as requests and job.json bring them."""

from state.errors import ServiceError


def check(field: str, texts: list[str]) -> None:
    """Raise ServiceError for a list without examples or with an empty one."""
    if not texts:
        raise ServiceError(f"{field} must hold at least one text")
    for index, text in enumerate(texts):
        if not text.strip():
            raise ServiceError(f"{field}[{index}] must not be empty")
