"""Completions by an engine of the test's own, without a server and a worker around it."""

from pathlib import Path
from typing import Any

from runtime.inference.base import Base
from runtime.inference.engine import Engine
from runtime.messages.inference import AdapterFiles, Done, Generate, Generated, Refused, SamplingParameters
from state.errors import ServiceError

PROMPT = "def f("


def request(number: int, base: Path, adapter: Path | None, prompt: Any = PROMPT, **sampling: Any) -> Generate:
    """12 new tokens unless `sampling` says otherwise."""
    files = AdapterFiles(str(adapter), "1") if adapter else None
    parameters = SamplingParameters(**{"max_new_tokens": 12} | sampling)
    return Generate(id=number, source=str(base), adapter=files, prompt=prompt, sampling=parameters)


def base_of(engine: Engine) -> Base:
    """The base that an engine has loaded."""
    base = engine._loader.base
    assert base is not None
    return base


def complete(
    engine: Engine, base: Path, adapter: Path | None = None, prompt: Any = PROMPT, **sampling: Any
) -> Generated:
    """One completion. Raises ServiceError as the worker would refuse it."""
    [generated] = together(engine, [request(1, base, adapter, prompt, **sampling)])
    return generated


def together(engine: Engine, requests: list[Generate]) -> list[Generated]:
    """Completions side by side."""
    for each in requests:
        engine.add(each)
    found = finish(engine)
    return [found[each.id] for each in requests]


def likely(generated: Generated) -> list[float]:
    """The log-probabilities of the most likely first tokens, of a completion that was asked for them."""
    assert generated.logprobs is not None
    return [other.logprob for other in generated.logprobs[0].top]


def answers(engine: Engine, requests: list[Generate]) -> list[Generated | Refused]:
    """What becomes of requests side by side, the refused ones included."""
    for each in requests:
        engine.add(each)
    found: dict[int, Generated | Refused] = {}
    while not engine.is_idle:
        engine.step()
        for reply in engine.take_replies():
            if isinstance(reply, Refused):
                found[reply.id] = reply
            elif isinstance(reply, Done) and reply.generated is not None:
                found[reply.id] = reply.generated
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
    engine.step()
    for reply in engine.take_replies():
        match reply:
            case Refused(message=message):
                raise ServiceError(message)
            case Done(generated=Generated() as generated):
                found[reply.id] = generated
            case _:
                pass
    return found
