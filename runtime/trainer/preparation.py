"""From a job's record to a model that is ready for its first step: all that a training and its plan have in common."""

import logging
from collections.abc import Iterator
from pathlib import Path

import torch
from msgspec import Struct, structs
from peft import PeftModel
from transformers import PreTrainedTokenizerBase

from runtime.model import bases, device, tokenizers
from runtime.model.chat import ChatTemplate
from runtime.model.tokenizers import BaseTokenizer
from runtime.trainer import initial, lora, memory, repeatable, sampling
from runtime.trainer.counting import Tell, nobody
from runtime.trainer.documents import Document
from runtime.trainer.fit import Fit, Needs, fit
from runtime.trainer.fit import rows as in_rows
from runtime.trainer.fused_lora import fuse
from runtime.trainer.job_template import job_template
from runtime.trainer.loss import SummedLoss, choose
from runtime.trainer.preferences.learning import without_dropout
from runtime.trainer.preferences.pairs import by_pair
from runtime.trainer.sampling import Sampler
from runtime.trainer.steps import Steps, of_first_epoch
from runtime.trainer.tokenizing import Tokenized, Tokenizer
from state import config, methods, models
from state.adapters import ChatSettings
from state.config import LoraConfig
from state.errors import ServiceError
from state.job_rows import JobRows
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
    steps: Steps
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
        return int(self.steps.tokens.max())

    def longest_row(self, row_tokens: int) -> int:
        """Of steps in rows of at most so many tokens."""
        documents = ([range(length) for length in lengths] for lengths in self.steps)
        return max(sum(map(len, row)) for step in documents for row in in_rows(step, row_tokens))


class Ready(Struct, frozen=True):
    """A model with its fresh adapter, and what training it takes."""

    setup: device.Setup
    data: Data
    model: PeftModel
    lora_config: LoraConfig
    """The job's own, or that of the adapter that it goes on from; of preferences without dropout."""
    summed_loss: SummedLoss
    needs: Needs
    chat: ChatSettings
    """How the adapter is to be asked."""
    sampler: Sampler | None
    """Answers the sample prompts, where there are some."""
    memory: int
    """What the process may take in all, in bytes."""

    def fit(self) -> Fit:
        """How its steps are computed on this machine. Raises ServiceError when there is no way."""
        data = self.data
        return fit(self.needs, self.memory, data.longest, data.longest_step, self.setup, are_pairs=data.are_pairs)

    def peak(self, fitted: Fit) -> int:
        """What the process will take at most, in bytes."""
        return self.needs.row(self.data.longest_row(fitted.row_tokens), fitted.gradient_checkpointing)


def prepare(  # noqa: PLR0913, PLR0917  a job, its rows, and three things that are the caller's
    root: DataRoot, job: Job, rows: JobRows, tokens: Path, init: Path | None, tell: Tell = nobody
) -> Ready:
    """Load, tokenize, attach and measure; the tokens are kept in `tokens`, a folder. `tell` hears what is done.

    `init` is the folder of the adapter that the job goes on from. Raises ServiceError for what cannot be trained.
    """
    config.check_evaluation(
        job.training_config, has_rows=rows.held_out is not None, has_prompts=bool(job.sample_prompts)
    )
    base_model = models.find(root, job.model_name)
    setup = device.pick(job.training_config.precision)
    for reason in setup.reasons:
        log.info("%s", reason)
    source = base_model.load_from
    log.info("Loading %s in NF4 with double quantization", source)
    tell(f"Loading {job.model_name} in NF4")
    tokenizer = tokenizers.load(source)
    base = bases.load_base(source, setup, root.quantized_bases)
    start = initial.read(job, init, lora.adaptable_modules(base), source)
    data = _read(job, _tokenizer(job, tokenizer, start.chat.template, tell), rows, tokens)
    chat = initial.inherited_chat(start.chat, _chat(job, tokenizer.tokenizer, data))
    sampler = sampling.prepare(job, base, tokenizer, chat)

    tell("Measuring what a step takes")
    torch.manual_seed(job.seed)
    lora_config = structs.replace(start.lora_config, lora_dropout=0.0) if data.are_pairs else start.lora_config
    model = lora.attach(base, lora_config, job.model_name, base_model.source)
    initial.load(model, init)
    if data.are_pairs:
        without_dropout(model)
    fuse(model)
    summed_loss = choose(model, setup.device)
    if setup.device.startswith("cuda"):
        repeatable.prefer(model, summed_loss)
    needs = memory.measure(model, summed_loss, setup.device)
    available = memory.available(setup.device)
    return Ready(setup, data, model, lora_config, summed_loss, needs, chat, sampler, available)


def _chat(job: Job, tokenizer: PreTrainedTokenizerBase, data: Data) -> ChatSettings:
    """As the rows were rendered. A model's own template need not be written down, nor the default one of texts."""
    counts = data.train.counts
    stop_tokens = [str(tokenizer.convert_ids_to_tokens(token)) for token in counts.stop_tokens]
    is_kept = not data.template.is_models_own and (counts.has_conversations or job.chat_template is not None)
    template = data.template.source if is_kept else None
    return ChatSettings(template=template, switches=counts.switches, stop_tokens=stop_tokens)


def _tokenizer(job: Job, base: BaseTokenizer, template: str | None, tell: Tell) -> Tokenizer:
    """Raises ServiceError for settings that cannot be meant.

    `template` is the chat template of the adapter that the job goes on from, where it has one of its own.
    """
    settings = job.training_config
    config.check_max_steps(settings)
    methods.check_settings(settings)
    max_seq_length = config.resolved_max_seq_length(settings, base.context_length)
    today = job.today
    return Tokenizer(
        base.tokenizer,
        job_template(job, template, base.tokenizer, today),
        base.served,
        today,
        max_seq_length,
        settings.learn,
        settings.on_too_long,
        settings.skip_invalid,
        settings.method,
        tell,
    )


def _read(job: Job, how: Tokenizer, rows: JobRows, tokens: Path) -> Data:
    """Tokenize a job's rows. Raises ServiceError when nothing is left, or for settings that don't go with them."""
    settings = job.training_config
    trained = _tokenize(how, rows.train, tokens / "train")
    total_steps = config.total_steps(settings, len(trained.rows))
    return Data(
        trained,
        _tokenize(how, rows.held_out, tokens / "eval") if rows.held_out else None,
        how.template,
        how.max_seq_length,
        total_steps,
        config.resolved_warmup_steps(settings, total_steps),
        of_first_epoch(settings, trained.rows, job.seed),
        are_pairs=settings.method == "dpo",
    )


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
