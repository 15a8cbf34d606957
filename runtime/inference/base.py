"""A base model in memory: its weights, its tokenizer, the adapters on it, and what is remembered of past prompts."""

import gc
from concurrent.futures import Future
from pathlib import Path

import msgspec
import torch
from llguidance import LLMatcher
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from runtime.inference import schemas
from runtime.inference.adapters import Adapters
from runtime.inference.grammars import Grammars
from runtime.inference.native import runner as native
from runtime.inference.paged import runner as paged
from runtime.inference.prefix_cache import PrefixCache
from runtime.inference.tools import holding
from runtime.inference.tools.forms import Form, form_of
from runtime.messages.inference import Generate
from runtime.model import bases
from runtime.model.device import Setup
from runtime.model.prompts import Prompts, vocabulary
from runtime.model.text import TokenTexts, special_tokens
from runtime.model.tokenizers import end_tokens, load_tokenizer
from state import models

CPU_PREFILL_CHUNK, ACCELERATOR_PREFILL_CHUNK = (
    512,
    4096,
)  # tokens of prompts in one pass, which those that generate wait for
LOGITS_BYTES = 1 << 26  # of a chunk of a prompt of which all are wanted: 220 tokens of a vocabulary of 150,000 in bf16
PREFIX_CACHE_SHARE = 1 / 16  # of the device's memory


class Base:
    """One base and what belongs to it. Another base is another instance."""

    def __init__(self, source: str, setup: Setup, quantized_bases: Path) -> None:
        """Raises ServiceError."""
        self.source = source
        self.tokenizer: PreTrainedTokenizerBase = load_tokenizer(source)
        self.model: PreTrainedModel = bases.load_base(source, setup, quantized_bases).eval()
        self.adapters = Adapters(self.model)
        self.runner = native.choose(self.model, self.adapters, paged.choose(self.model, self.adapters))
        self.mixes_adapters = True
        """Whether sequences of several adapters may share a pass."""
        self.prefix_cache = PrefixCache(int(PREFIX_CACHE_SHARE * setup.memory_mb * 2**20))
        self.prefill_chunk = CPU_PREFILL_CHUNK if self.model.device.type == "cpu" else ACCELERATOR_PREFILL_CHUNK
        self.context_length = models.context_length(self.model.config.to_dict())
        self.scored_chunk = max(1, min(self.prefill_chunk, LOGITS_BYTES // self.runner.logits_bytes))
        """Tokens of prompts in one pass where the logits of all of them are wanted."""
        self.texts = TokenTexts(self.tokenizer)
        self.vocabulary = vocabulary(self.model, self.tokenizer)
        self.prompts = Prompts(self.tokenizer, self.vocabulary)
        self.special_tokens = special_tokens(self.tokenizer)
        self.end_tokens = end_tokens(source, self.tokenizer)
        self.grammars = Grammars(self.tokenizer, self.end_tokens)

    def grammar_of(self, request: Generate) -> Future[LLMatcher] | None:
        """What a completion is held to, soon; None where it may be anything. The result may be a ServiceError."""
        schema, use = request.sampling.json_schema, request.sampling.tools
        if use is not None and holding.is_held(use, schema):
            form = self.form_of_calls(request)
            key = (form, msgspec.json.encode(use), schema)
            return self.grammars.compiled(
                key, lambda: holding.grammar(form, use, schema, holding.Written(self.tokenizer))
            )
        return None if schema is None else self.grammars.compiled(schema, lambda: schemas.grammar(schema))

    def form_of_calls(self, request: Generate) -> Form:
        """How the model writes calls of tools. Raises ServiceError."""
        return form_of(self.prompts.template(request.chat))

    def empty_prefix_cache(self) -> bool:
        """Give the memory of what is only remembered back. Returns whether there was any."""
        if not self.prefix_cache.clear():
            return False
        release_memory()
        return True


def release_memory() -> None:
    """Have torch give the memory of tensors that are gone back to the device, those in cycles of references, too."""
    gc.collect()
    release_cached()


def release_cached() -> None:
    """The same without looking for cycles, which takes a third of a second in a process with transformers."""
    if torch.accelerator.is_available():
        torch.accelerator.empty_cache()
