"""The models in memory: one base in NF4, and at most one adapter in it."""

import gc
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerBase

from runtime import device
from runtime import models as base_models
from runtime.device import Plan
from runtime.inference import adapter, completion
from runtime.inference.adapter import Attached
from runtime.worker_protocol import AdapterFiles, Generate, Generated, LoadFailed
from state.errors import ServiceError

log = logging.getLogger("inference")


class Base:
    """A base model and its tokenizer, in memory."""

    def __init__(self, source: str, plan: Plan, quantized_bases: Path) -> None:
        """Raises ServiceError."""
        self.source = source
        self.tokenizer: PreTrainedTokenizerBase = base_models.load_tokenizer(source)
        self.model: PreTrainedModel = base_models.load_base(source, plan, quantized_bases).eval()
        self.model.generation_config = completion.settings_of(self.model, self.tokenizer)


class Engine:
    """Answers by whatever base and adapter a request names, loading what is not there."""

    def __init__(self, quantized_bases: Path) -> None:
        self._quantized_bases = quantized_bases
        self._plan = device.pick()
        self._base: Base | None = None
        self._attached: Attached | None = None

    def load(self, source: str, files: AdapterFiles) -> None:
        """Have an adapter in its base. Raises LoadFailed.

        The adapter is checked before anything in memory is touched. What goes wrong after that costs time only: the
        next request that names the former base and adapter has them loaded again.
        """
        if self._base and self._base.source == source and self._attached and self._attached.files == files:
            return
        checked = adapter.check(Path(files.path), _skeleton(source))
        base = self._have_base(source)
        self.unload()
        try:
            with _memory_in_words("load the adapter"):
                self._attached = Attached(base.model, files, checked)
        except Exception as error:
            self._drop_base()  # PEFT left it half attached
            if isinstance(error, ServiceError):
                raise LoadFailed(str(error)) from error
            raise LoadFailed(f"{Path(files.path).name} cannot be attached to the base model: {error}") from error

    def unload(self) -> None:
        if self._attached is not None:
            self._attached.detach()
            self._attached = None

    def generate(self, request: Generate, is_cancelled: Callable[[], bool]) -> Generated:
        """Complete a prompt. Raises ServiceError, LoadFailed."""
        if request.adapter is not None:
            self.load(request.source, request.adapter)
        base = self._have_base(request.source)
        alone = self._attached.set_aside() if self._attached and request.adapter is None else nullcontext()
        with alone, _memory_in_words("generate"):
            return completion.complete(
                self._attached.model if self._attached else base.model, base.tokenizer, request, is_cancelled
            )

    def _have_base(self, source: str) -> Base:
        if self._base is None or self._base.source != source:
            self._drop_base()
            began = time.monotonic()
            try:
                with _memory_in_words("load the base model"):
                    self._base = Base(source, self._plan, self._quantized_bases)
            except ServiceError as error:
                raise LoadFailed(str(error)) from error
            log.info("%s loaded on %s in %.1f s", source, self._plan.device, time.monotonic() - began)
        return self._base

    def _drop_base(self) -> None:
        """Give its memory back: two bases may not fit beside each other, nor beside a trainer."""
        self._attached = None
        self._base = None
        gc.collect()
        if torch.accelerator.is_available():
            torch.accelerator.empty_cache()


@contextmanager
def _memory_in_words(action: str) -> Iterator[None]:
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise ServiceError(
            f"There is not enough device memory to {action}; a training job may be using it. {error}"
        ) from error


def _skeleton(source: str) -> PreTrainedModel:
    """A base's modules with shapes and no weights. Raises LoadFailed."""
    try:
        config = AutoConfig.from_pretrained(source, trust_remote_code=False)
        with torch.device("meta"):
            model: PreTrainedModel = AutoModelForCausalLM.from_config(config, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise LoadFailed(f"Model {source} cannot be loaded: {error}") from error
    return model
