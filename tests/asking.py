"""Asking an inference worker, without a server around it."""

from pathlib import Path

from runtime.messages.inference import AdapterFiles, Generated, SamplingParameters, TextDelta
from runtime.server.answering.worker import Worker


async def generate(
    worker: Worker, base: Path, adapter: AdapterFiles | None = None, prompt: str = "def f(", max_new_tokens: int = 4
) -> Generated:
    """One greedy completion."""
    sampling = SamplingParameters(max_new_tokens=max_new_tokens)
    [(_, generated)] = [
        event async for event in worker.generate(str(base), adapter, [(prompt, sampling)], stream=False)
    ]
    assert not isinstance(generated, TextDelta)
    return generated
