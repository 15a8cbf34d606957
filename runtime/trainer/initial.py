"""Going on from another adapter: its shape, its weights, and how it is asked (`init_adapter`)."""

import logging
from pathlib import Path
from typing import Any

from msgspec import Struct, structs
from peft import PeftModel, set_peft_model_state_dict
from safetensors.torch import load_file

from runtime.model import adapter_files
from state import initial_adapters, initial_sources
from state.adapters import WEIGHTS, ChatSettings
from state.config import LoraConfig
from state.errors import ServiceError
from state.jobs import Job, JobFolder
from state.root import DataRoot

log = logging.getLogger("trainer")


class Start(Struct, frozen=True):
    """What a training begins with."""

    lora_config: LoraConfig
    chat: ChatSettings
    """Of the adapter that it goes on from."""


def place(root: DataRoot, folder: JobFolder, job: Job) -> Path | None:
    """The job's own copy of the adapter that it goes on from; None when it goes on from none.

    A job by hand gets its copy here, at its first start, and so does one whose `init_adapter` was edited before its
    first checkpoint. Raises ServiceError.
    """
    name = job.init_adapter
    if name is None:
        return None
    try:
        is_there = initial_adapters.origin(folder.init_adapter).name == name or folder.newest_checkpoint() > 0
    except FileNotFoundError:
        is_there = False
    if not is_there:
        initial_adapters.copy(initial_sources.find(root, name, job.model_name), folder.init_adapter)
    return folder.init_adapter


def read(job: Job, init: Path | None, present: set[str], source: str) -> Start:
    """Check the files of `init` and what the job wants of them; `present` are the layers that LoRA may name.

    Raises ServiceError.
    """
    if init is None or job.init_adapter is None:
        return Start(job.lora, ChatSettings())
    config = initial_adapters.shape(init, job.init_adapter, job.lora_config, present)
    adapter_files.check(init, adapter_files.skeleton(source))
    return Start(config, initial_adapters.chat(init))


def load(model: PeftModel, init: Path | None) -> None:
    """Give a model with a fresh adapter the weights of `init`, which has been read."""
    if init is None:
        return
    result: Any = set_peft_model_state_dict(model, load_file(init / WEIGHTS))
    if result.unexpected_keys:
        raise ServiceError(f"{init.name}/{WEIGHTS} has {result.unexpected_keys[0]}, which is not trained")
    log.info("Going on from the weights in %s", init.name)


def inherited_chat(before: ChatSettings, now: ChatSettings) -> ChatSettings:
    """How an adapter is asked that went on from another one.

    As the other one, but for what the new rows say. Both of their stop tokens end answers: it has learned both.
    """
    return structs.replace(
        now,
        template=now.template or before.template,
        switches={**before.switches, **now.switches},
        stop_tokens=list(dict.fromkeys([*before.stop_tokens, *now.stop_tokens])),
    )
