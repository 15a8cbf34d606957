"""Completions by an engine of the test's own, without a server and a worker around it."""

from pathlib import Path
from typing import Any

from runtime.inference.engine import Engine
from runtime.messages.inference import AdapterFiles, Choosing, Done, Generate, Generated, Piece, Refused
from state.errors import LoadFailed, ServiceError

PROMPT = "def f("


def request(number: int, base: Path, adapter: Path | None, prompt: Any = PROMPT, **choosing: Any) -> Generate:
    """12 new tokens unless `choosing` says otherwise."""
    files = AdapterFiles(str(adapter), "1") if adapter else None
    chosen = Choosing(**{"max_new_tokens": 12} | choosing)
    return Generate(id=number, source=str(base), adapter=files, prompt=prompt, choosing=chosen)


def complete(
    engine: Engine, base: Path, adapter: Path | None = None, prompt: Any = PROMPT, **choosing: Any
) -> Generated:
    """One completion. Raises ServiceError as the worker would refuse it."""
    [generated] = together(engine, [request(1, base, adapter, prompt, **choosing)])
    return generated


def together(engine: Engine, requests: list[Generate]) -> list[Generated]:
    """Completions side by side."""
    for each in requests:
        engine.add(each)
    found = finish(engine)
    return [found[each.id] for each in requests]


def finish(engine: Engine) -> dict[int, Generated]:
    """All that the engine has to do."""
    found: dict[int, Generated] = {}
    while not engine.is_idle:
        found |= step(engine)
    return found


def step(engine: Engine) -> dict[int, Generated]:
    """One pass; the completions that it ended."""
    found: dict[int, Generated] = {}
    for reply in engine.step():
        match reply:
            case Refused():
                raise LoadFailed(reply.message) if reply.loading else ServiceError(reply.message)
            case Done(generated=Generated() as generated):
                found[reply.id] = generated
            case Piece() | Done():
                pass
    return found
