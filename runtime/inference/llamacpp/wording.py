"""A request in llama-server's words (`POST /completion`), and which requests it has no words for."""

from collections.abc import Sequence
from typing import Any

from runtime.messages.inference import SamplingParameters
from state.errors import ServiceError

GREEDY_BELOW = 1e-5  # as in runtime/inference/sampling.py
SAMPLERS = ("penalties", "temperature", "top_k", "top_p", "min_p")
"""The embedded engine's, in its order."""
SEEDS = 2**31  # llama-server's are smaller


def check(sampling: SamplingParameters) -> None:
    """Raises ServiceError for what llama.cpp cannot do, or would do otherwise than asked."""
    lacking = {
        "hold an answer to a JSON schema": sampling.json_schema is not None,
        "call tools": sampling.tools is not None,
        "tell how likely a prompt's tokens are (echo with logprobs)": sampling.echo
        and sampling.top_logprobs is not None,
        "keep presence_penalty and frequency_penalty from the prompt's tokens": bool(
            sampling.presence_penalty or sampling.frequency_penalty
        ),
    }
    for what, is_asked in lacking.items():
        if is_asked:
            raise ServiceError(
                f"The engine llama.cpp cannot {what}: ask without, or start the server with --engine embedded"
            )


def body(
    prompt: Sequence[int], sampling: SamplingParameters, max_new_tokens: int, adapter: int | None, num_adapters: int
) -> dict[str, Any]:
    """`adapter` is the number of the only one that is to change the base; None for the bare base."""
    top = sampling.top_logprobs
    return {
        "prompt": prompt,
        "n_predict": max_new_tokens,
        "stream": True,
        "return_tokens": True,
        "return_progress": True,
        "cache_prompt": True,
        "samplers": SAMPLERS,
        "temperature": 0 if sampling.temperature < GREEDY_BELOW else sampling.temperature,
        "top_k": max(0, sampling.top_k),
        "top_p": sampling.top_p,
        "min_p": sampling.min_p,
        "repeat_penalty": sampling.repetition_penalty,
        "repeat_last_n": len(prompt) + max_new_tokens,
        "logit_bias": list(sampling.logit_bias.items()),
        "seed": -1 if sampling.seed is None else sampling.seed % SEEDS,
        "n_probs": 0 if top is None else max(1, top),  # with 0 it would not tell the chosen token's either
        "lora": [{"id": number, "scale": float(number == adapter)} for number in range(num_adapters)],
    }
