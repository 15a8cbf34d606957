r"""Ranks and alphas of single layers: `rank_pattern` and `alpha_pattern`, which mean what they mean in PEFT.

A key is the end of a layer's name, or a regular expression for it: `down_proj`, `layers.0.self_attn.q_proj`,
`layers\.[01]\..*`. The first key that fits a layer counts (peft 0.21, `get_pattern_key`).
"""

import re
from collections.abc import Collection, Iterable

from state.config import LoraConfig
from state.errors import ServiceError

MAX_REPETITIONS = 2  # of an expression; with more, and with repeated groups, one name could take minutes to match
_REPETITION = re.compile(r"(?<![\\(])[*+{?]")
_REPEATED_GROUP = re.compile(r"(?<!\\)\)[*+{]")


def check(config: LoraConfig, layers: Iterable[str], targets: Collection[str], model_name: str) -> None:
    """Raise ServiceError for a key that is no expression, or fits none of the layers that get LoRA.

    `layers` are the full names of linear layers, `targets` the last names of those that get LoRA.
    """
    adapted = [name for name in layers if name.rpartition(".")[2] in targets]
    for field, patterns in (("rank_pattern", config.rank_pattern), ("alpha_pattern", config.alpha_pattern)):
        for key in patterns or ():
            fits = _compiled(field, key)
            if not any(fits.match(name) for name in adapted):
                raise ServiceError(
                    f"lora_config.{field} has {key}, and no layer of {model_name} that gets LoRA has a name like it: "
                    f"use names of target_modules ({', '.join(sorted(targets))}), or longer ends of names"
                    + (f" such as {adapted[0]}" if adapted else "")
                )


def _compiled(field: str, key: str) -> re.Pattern[str]:
    if len(_REPETITION.findall(key)) > MAX_REPETITIONS or _REPEATED_GROUP.search(key):
        raise ServiceError(
            f"lora_config.{field} has {key}, an expression that could take too long to match: "
            f"use at most {MAX_REPETITIONS} of * + ? {{}}, and none of * + {{}} behind a group"
        )
    try:
        return _expression(key)
    except re.error as error:
        raise ServiceError(
            f"lora_config.{field} has {key}, which is neither a name nor a regular expression: {error}"
        ) from None


def _expression(key: str) -> re.Pattern[str]:
    return re.compile(rf"(.*\.)?({key})$")
