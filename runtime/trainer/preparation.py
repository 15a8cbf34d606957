"""From a job's record to a model that is ready for its first step: all that a training and its plan have in common."""

import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from msgspec import Struct
from numpy.typing import NDArray
from peft import PeftModel
from transformers import PreTrainedTokenizerBase

from runtime.model import bases, device
from runtime.model.chat import ChatTemplate
from runtime.trainer import batches, lora, memory, repeatable
from runtime.trainer.documents import Document
from runtime.trainer.fit import Fit, Needs, fit, rows
from runtime.trainer.fused_lora import fuse
from runtime.trainer.loss import SummedLoss, choose
from runtime.trainer.preferences.learning import without_dropout
from runtime.trainer.preferences.pairs import by_pair
from runtime.trainer.tokenizing import Tokenized, Tokenizer
from state import clock, config, methods, models
from state.adapters import ChatSettings
from state.errors import ServiceError
from state.jobs import Job
from state.root import DataRoot
from state.row_source import RowSource

log = logging.getLogger("trainer")


class Data(Struct, frozen=True):
    """A job's rows in tokens, and the run that they make."""

    train: Tokenized
    held_out: Tokenized | None
    template: ChatTemplate
    max_seq_length: int
    total_steps: int
    warmup_steps: int
    step_lengths: list[NDArray[np.int64]]
    """The lengths of the documents of each step of the first epoch; the other epochs' are much like them."""
    step_targets: list[int]
    """How many tokens each of these steps learns."""
    are_pairs: bool = False
    """Each row's two documents are computed together: every length here is of both."""

    def held_out_documents(self) -> Iterator[Document]:
        """Read from their files one by one: all of them would take nine times the memory."""
        return (document for row in self.held_out.rows for document in row) if self.held_out else iter(())

    @property
    def longest(self) -> int:
        """The longest document, in tokens, like the two below."""
        parts = [self.train, *([self.held_out] if self.held_out else [])]
        lengths = [part.rows.lengths for part in parts]
        return max(int((by_pair(each) if self.are_pairs else each).max()) for each in lengths)

    @property
    def longest_step(self) -> int:
        return max(int(lengths.sum()) for lengths in self.step_lengths)

    def longest_row(self, row_tokens: int) -> int:
        """Of steps in rows of at most so many tokens."""
        documents = ([range(length) for length in lengths] for lengths in self.step_lengths)
        return max(sum(map(len, row)) for step in documents for row in rows(step, row_tokens))


class Ready(Struct, frozen=True):
    """A model with its fresh adapter, and what training it takes."""

    setup: device.Setup
    data: Data
    model: PeftModel
    summed_loss: SummedLoss
    needs: Needs
    chat: ChatSettings
    """How the adapter is to be asked."""
    memory: int
    """What the process may take in all, in bytes."""

    def fit(self) -> Fit:
        """How its steps are computed on this machine. Raises ServiceError when there is no way."""
        data = self.data
        return fit(self.needs, self.memory, data.longest, data.longest_step, self.setup, are_pairs=data.are_pairs)

    def peak(self, fitted: Fit) -> int:
        """What the process will take at most, in bytes."""
        return self.needs.row(self.data.longest_row(fitted.row_tokens), fitted.gradient_checkpointing)


def prepare(root: DataRoot, job: Job, train: RowSource, held_out: RowSource | None, tokens: Path) -> Ready:
    """Load, tokenize, attach and measure; the tokens are kept in `tokens`, a folder.

    Raises ServiceError for what cannot be trained.
    """
    base_model = models.find(root, job.model_name)
    setup = device.pick(job.training_config.precision)
    for reason in setup.reasons:
        log.info("%s", reason)
    source = base_model.load_from
    log.info("Loading %s in NF4 with double quantization", source)
    tokenizer = bases.load_tokenizer(source)
    base = bases.load_base(source, setup, root.quantized_bases)
    context_length = models.context_length(base.config.to_dict())
    data = read(job, tokenizer, bases.end_tokens(base, tokenizer), context_length, train, held_out, tokens)

    torch.manual_seed(job.seed)
    model = lora.attach(base, job.lora_config, job.model_name, base_model.source)
    if data.are_pairs:
        without_dropout(model)
    fuse(model)
    summed_loss = choose(model, setup.device)
    if setup.device.startswith("cuda"):
        repeatable.prefer(model, summed_loss)
    needs = memory.measure(model, summed_loss, setup.device)
    return Ready(setup, data, model, summed_loss, needs, _chat(tokenizer, data), memory.available(setup.device))


def _chat(tokenizer: PreTrainedTokenizerBase, data: Data) -> ChatSettings:
    """As the rows were rendered. A model's own template need not be written down."""
    counts = data.train.counts
    stop_tokens = [str(tokenizer.convert_ids_to_tokens(token)) for token in counts.stop_tokens]
    if not counts.has_conversations:
        return ChatSettings(stop_tokens=stop_tokens)
    template = None if tokenizer.chat_template else data.template.source
    return ChatSettings(template=template, switches=counts.switches, stop_tokens=stop_tokens)


def read(  # noqa: PLR0913, PLR0917  what the tokens depend on
    job: Job,
    tokenizer: PreTrainedTokenizerBase,
    served: frozenset[int],
    context_length: int | None,
    train: RowSource,
    held_out: RowSource | None,
    tokens: Path,
) -> Data:
    """Tokenize a job's rows. Raises ServiceError when nothing is left, or for settings that don't go with them."""
    settings = job.training_config
    config.check_max_steps(settings)
    methods.check_settings(settings)
    max_seq_length = config.resolved_max_seq_length(settings, context_length)
    today = job.created_at or clock.now()
    how = Tokenizer(
        tokenizer,
        ChatTemplate(tokenizer, now=lambda: today),
        served,
        today,
        max_seq_length,
        settings.learn,
        settings.on_too_long,
        settings.skip_invalid,
        settings.method,
    )
    trained = _tokenize(how, train, tokens / "train")
    total_steps = config.total_steps(settings, len(trained.rows))
    lengths, targets = _by_step(job, trained)
    return Data(
        trained,
        _tokenize(how, held_out, tokens / "eval") if held_out else None,
        how.template,
        max_seq_length,
        total_steps,
        config.resolved_warmup_steps(settings, total_steps),
        lengths,
        targets,
        are_pairs=settings.method == "dpo",
    )


def _by_step(job: Job, trained: Tokenized) -> tuple[list[NDArray[np.int64]], list[int]]:
    """Of the first epoch's steps: the lengths of the documents or pairs, and how many tokens are learned."""
    rows_ = trained.rows
    lengths, targets, first = rows_.lengths, rows_.targets, rows_.first_documents
    if job.training_config.method == "dpo":
        lengths, targets, first = by_pair(lengths), by_pair(targets), np.arange(len(rows_) + 1)
    steps = config.steps_per_epoch(job.training_config, len(rows_))
    taken = [batches.examples_of_step(job.training_config, len(rows_), step, job.seed) for step in range(steps)]
    documents = [_documents_of(first, indices) for indices in taken]
    return [lengths[step] for step in documents], [int(targets[step].sum()) for step in documents]


def _documents_of(first: NDArray[np.int64], rows_: list[int]) -> NDArray[np.int64]:
    return np.concatenate([np.arange(first[row], first[row + 1]) for row in rows_])


def _tokenize(how: Tokenizer, source: RowSource, folder: Path) -> Tokenized:
    tokenized = how.tokenize(source, folder)
    counts = tokenized.counts
    if counts.num_cut:
        log.warning(
            "%s: %s rows are longer than %s tokens and were cut", source.name, counts.num_cut, how.max_seq_length
        )
    if counts.num_dropped:
        log.warning("%s: %s rows are too long, or hold nothing to learn: left out", source.name, counts.num_dropped)
    if counts.num_refused:
        log.warning("%s: %s rows cannot be learned exactly and were left out", source.name, counts.num_refused)
    for note, count in counts.notes.items():
        log.info("%s: %s %s", source.name, count, note)
    if not len(tokenized.rows):
        raise ServiceError(f"{source.name} holds no row of two tokens or more: there is nothing to predict")
    return tokenized
