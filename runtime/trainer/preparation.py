"""From a job's record to a model that is ready for its first step: all that a training and its plan have in common."""

import logging

import torch
from msgspec import Struct
from peft import PeftModel
from transformers import PreTrainedTokenizerBase

from runtime.model import device
from runtime.model.bases import load_base, load_tokenizer
from runtime.trainer import batches, lora, memory, repeatable
from runtime.trainer.batches import Tokenized
from runtime.trainer.fit import Fit, Needs, fit, rows
from runtime.trainer.fused_lora import fuse
from runtime.trainer.loss import SummedLoss, choose
from state import config, models
from state.errors import ServiceError
from state.jobs import Job
from state.root import DataRoot

log = logging.getLogger("trainer")


class Texts(Struct, frozen=True):
    """A job's examples in tokens, and the run that they make."""

    train: Tokenized
    held_out: list[list[int]]
    max_seq_length: int
    total_steps: int
    warmup_steps: int
    steps: list[list[list[int]]]
    """The documents of each step of the first epoch; the other epochs' are much like them."""

    @property
    def longest(self) -> int:
        """In tokens, like the two below."""
        return max(len(ids) for ids in (*self.train.examples, *self.held_out))

    @property
    def longest_step(self) -> int:
        return max(sum(map(len, documents)) for documents in self.steps)

    def longest_row(self, row_tokens: int) -> int:
        """Of steps in rows of at most so many tokens."""
        return max(sum(map(len, row)) for documents in self.steps for row in rows(documents, row_tokens))


class Ready(Struct, frozen=True):
    """A model with its fresh adapter, and what training it takes."""

    setup: device.Setup
    texts: Texts
    model: PeftModel
    summed_loss: SummedLoss
    needs: Needs
    memory: int
    """What the process may take in all, in bytes."""

    def fit(self) -> Fit:
        """How its steps are computed on this machine. Raises ServiceError when there is no way."""
        texts = self.texts
        return fit(self.needs, self.memory, texts.longest, texts.longest_step, self.setup)

    def peak(self, fitted: Fit) -> int:
        """What the process will take at most, in bytes."""
        return self.needs.row(self.texts.longest_row(fitted.row_tokens), fitted.gradient_checkpointing)


def prepare(root: DataRoot, job: Job, train_texts: list[str], eval_texts: list[str]) -> Ready:
    """Load, tokenize, attach and measure. Raises ServiceError for what cannot be trained."""
    base_model = models.find(root, job.model_name)
    setup = device.pick(job.training_config.precision)
    for reason in setup.reasons:
        log.info("%s", reason)
    source = base_model.load_from
    log.info("Loading %s in NF4 with double quantization", source)
    tokenizer = load_tokenizer(source)
    base = load_base(source, setup, root.quantized_bases)
    texts = read(job, tokenizer, models.context_length(base.config.to_dict()), train_texts, eval_texts)

    torch.manual_seed(job.seed)
    model = lora.attach(base, job.lora_config, job.model_name, base_model.source)
    fuse(model)
    summed_loss = choose(model, setup.device)
    if setup.device.startswith("cuda"):
        repeatable.prefer(model, summed_loss)
    needs = memory.measure(model, summed_loss, setup.device)
    return Ready(setup, texts, model, summed_loss, needs, memory.available(setup.device))


def read(
    job: Job,
    tokenizer: PreTrainedTokenizerBase,
    context_length: int | None,
    train_texts: list[str],
    eval_texts: list[str],
) -> Texts:
    """Tokenize a job's texts. Raises ServiceError when nothing is left, or for settings that don't go with them."""
    settings = job.training_config
    config.check_max_steps(settings)
    max_seq_length = config.resolved_max_seq_length(settings, context_length)
    train = _tokenize("train_texts", tokenizer, train_texts, max_seq_length)
    held_out = _tokenize("eval_texts", tokenizer, eval_texts, max_seq_length).examples if eval_texts else []
    total_steps = config.total_steps(settings, len(train.examples))
    warmup_steps = config.resolved_warmup_steps(settings, total_steps)
    num_examples = len(train.examples)
    steps = [
        [train.examples[index] for index in batches.examples_of_step(settings, num_examples, step, job.seed)]
        for step in range(config.steps_per_epoch(settings, num_examples))
    ]
    return Texts(train, held_out, max_seq_length, total_steps, warmup_steps, steps)


def _tokenize(field: str, tokenizer: PreTrainedTokenizerBase, texts: list[str], max_seq_length: int) -> Tokenized:
    tokenized = batches.tokenize(tokenizer, texts, max_seq_length)
    if tokenized.num_cut:
        log.warning("%s: %s texts are longer than %s tokens and were cut", field, tokenized.num_cut, max_seq_length)
    if tokenized.num_dropped:
        log.warning("%s: %s texts have fewer than two tokens and were left out", field, tokenized.num_dropped)
    if not tokenized.examples:
        raise ServiceError(f"{field} holds no text of two tokens or more: there is nothing to predict")
    return tokenized
