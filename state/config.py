"""The two configurations of a training run, with the specification's names, defaults and limits.

The same Structs are read from requests and from job.json. None stands for "left out" where the default depends on the
run or the model; `resolved_warmup_steps` and the model's own modules then decide.
"""

from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

from state.errors import ServiceError

DEFAULT_TARGET_MODULES = ("q_proj", "v_proj")
DEFAULT_WARMUP_STEPS = 100
ALL_LINEAR: Final = "all-linear"

Precision = Literal["bfloat16", "float32"]
Learn = Literal["all", "completions"]
Keep = Literal["last", "best"]
OnTooLong = Literal["cut", "drop", "refuse"]
Method = Literal["sft", "dpo"]
LossType = Literal["sigmoid", "ipo"]
ModuleName = Annotated[str, Meta(min_length=1, max_length=200)]
Rank = Annotated[int, Meta(ge=1, le=1024)]
Alpha = Annotated[int, Meta(ge=1, le=65536)]


class LoraConfig(Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """The adapter's shape (Hu et al. 2021, LoRA). The update of a weight is `lora_alpha / r * B @ A`."""

    r: Rank = 4
    lora_alpha: Alpha = 8
    lora_dropout: Annotated[float, Meta(ge=0, lt=1)] = 0.05
    target_modules: Annotated[list[ModuleName], Meta(min_length=1)] | Literal["all-linear"] | None = None
    """Names of linear layers, or "all-linear" (all but the output layer). Left out: q_proj and v_proj, or all linear
    layers of a model that has no layers of these names."""
    bias: Literal["none", "all", "lora_only"] = "none"
    task_type: Literal["CAUSAL_LM"] = "CAUSAL_LM"
    use_rslora: bool = False
    """Scale the update by `lora_alpha / sqrt(r)` (Kalajdzievski 2023): large ranks then learn as fast as small ones."""
    use_dora: bool = False
    """Learn the length of each output's weights beside their direction (Liu et al. 2024, DoRA)."""
    rank_pattern: dict[ModuleName, Rank] | None = None
    """Other ranks than `r`, by layers' names (`state/lora_patterns.py`)."""
    alpha_pattern: dict[ModuleName, Alpha] | None = None
    """Other alphas than `lora_alpha`, likewise."""
    modules_to_save: Annotated[list[ModuleName], Meta(min_length=1)] | None = None
    """Embeddings, norms or the output layer that are trained in full (`state/saved_modules.py`)."""


class EarlyStopping(Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """When a run is to end before its last step."""

    patience: Annotated[int, Meta(ge=1)]
    """So many evaluations in a row whose loss is not below the lowest one before by more than `min_delta` end it."""
    min_delta: Annotated[float, Meta(ge=0)] = 0.0
    """In nats."""


class TrainingConfig(Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """The run. One step takes `batch_size * gradient_accumulation_steps` rows."""

    num_epochs: Annotated[int, Meta(ge=1, le=1_000_000)] = 3
    batch_size: Annotated[int, Meta(ge=1, le=4096)] = 1
    learning_rate: Annotated[float, Meta(gt=0, le=1)] = 2e-4
    max_steps: Annotated[int, Meta(ge=-1, le=1_000_000_000)] = -1
    gradient_accumulation_steps: Annotated[int, Meta(ge=1, le=4096)] = 4
    warmup_steps: Annotated[int, Meta(ge=0)] | None = None
    """Left out: 100, but at most a tenth of the run's steps."""
    logging_steps: Annotated[int, Meta(ge=1)] = 10
    save_steps: Annotated[int, Meta(ge=1)] = 500
    save_total_limit: Annotated[int, Meta(ge=1)] = 2
    """Checkpoints that are kept: the newest ones, and beside them the one of the lowest evaluation loss."""
    eval_steps: Annotated[int, Meta(ge=1)] | None = None
    """Steps between evaluations, and between answers to sample prompts. Left out: `save_steps`."""
    early_stopping: EarlyStopping | None = None
    keep: Keep = "last"
    """Which adapter is published: the last step's, or the one of the lowest evaluation loss."""
    keep_epochs: Annotated[int, Meta(ge=0)] = 0
    """Of so many epochs before the last one the adapter is kept as it was at their end. Where it is not 0, the end of
    each epoch is evaluated too."""
    max_seq_length: Annotated[int, Meta(ge=2, le=1_048_576)] | None = None
    """In tokens of one document. Left out: 2048, or the model's context where that is shorter."""
    on_too_long: OnTooLong | None = None
    """What becomes of longer rows. Left out: texts are cut, and rows that would lose an answer's end are refused."""
    learn: Learn | None = None
    """Left out: all of texts, and of other rows what the model has to write. "completions" learns of texts what stands
    behind the last line `### Response:`; "all" learns all tokens of any row."""
    skip_invalid: bool = False
    """Leave out rows that cannot be read or not be learned exactly, instead of refusing the job."""
    validation_split: Annotated[float, Meta(gt=0, lt=1)] | None = None
    """This share of the rows is held out for evaluation, by their content and the job's seed."""
    precision: Precision | None = None
    """What is computed in around the 4-bit weights. Left out: bfloat16 where the device has it."""
    method: Method = "sft"
    """What is learned from: answers as they are, or preferences (Rafailov et al. 2023, DPO). `state.methods` holds what
    goes with which. The two below are of "dpo" alone."""
    beta: Annotated[float, Meta(gt=0, le=1000)] = 0.1
    """How closely the model is held to what it was when the training began: the greater, the closer."""
    loss_type: LossType = "sigmoid"
    """DPO's own loss, or that of Azar et al. 2023, which does not push preferences without end; TRL's names."""


DEFAULT_MAX_SEQ_LENGTH = 2048


def steps_per_epoch(config: TrainingConfig, num_examples: int) -> int:
    """Optimizer steps in one pass over the data; the last one may take fewer examples."""
    per_step = config.batch_size * config.gradient_accumulation_steps
    return -(-num_examples // per_step)


def total_steps(config: TrainingConfig, num_examples: int) -> int:
    """Optimizer steps of the whole run: `max_steps` where it is given, else the epochs."""
    if config.max_steps > 0:
        return config.max_steps
    return config.num_epochs * steps_per_epoch(config, num_examples)


def steps_between_evaluations(config: TrainingConfig) -> int:
    return config.eval_steps or config.save_steps


def check_evaluation(config: TrainingConfig, *, has_rows: bool, has_prompts: bool) -> None:
    """Raise ServiceError for settings that need evaluation rows, or at least sample prompts, where there are none."""
    needing = {
        "early_stopping": config.early_stopping is not None,
        'keep "best"': config.keep == "best",
        "eval_steps": config.eval_steps is not None and not has_prompts,
    }
    name = next((name for name, is_set in needing.items() if is_set), None)
    if name is not None and not has_rows:
        raise ServiceError(
            f"training_config.{name} needs rows to evaluate on, and this job has none: give eval_texts, "
            "eval_dataset_name or training_config.validation_split"
            + (", or give sample_prompts" if name == "eval_steps" else "")
        )


def resolved_warmup_steps(config: TrainingConfig, run_steps: int) -> int:
    """The warm-up's length in steps. Raises ServiceError when an explicit one is longer than the run."""
    if config.warmup_steps is None:
        return min(DEFAULT_WARMUP_STEPS, run_steps // 10)
    if config.warmup_steps > run_steps:
        raise ServiceError(
            f"training_config.warmup_steps is {config.warmup_steps}, but the run has only {run_steps} steps: "
            "use fewer, or leave it out"
        )
    return config.warmup_steps


def resolved_max_seq_length(config: TrainingConfig, context_length: int | None) -> int:
    """Tokens an example may have. Raises ServiceError when more are asked than the model can attend to."""
    if config.max_seq_length is None:
        return min(DEFAULT_MAX_SEQ_LENGTH, context_length or DEFAULT_MAX_SEQ_LENGTH)
    if context_length is not None and config.max_seq_length > context_length:
        raise ServiceError(
            f"training_config.max_seq_length is {config.max_seq_length}, "
            f"but the model's context is {context_length} tokens"
        )
    return config.max_seq_length


def resolved_target_modules(config: LoraConfig, present: set[str], model_name: str) -> list[str]:
    """The names of the layers to adapt, given those of all linear layers in the model's blocks.

    Raises ServiceError naming the modules that the model does not have, and those that it has.
    """
    if config.target_modules is None and set(DEFAULT_TARGET_MODULES) <= present:
        return list(DEFAULT_TARGET_MODULES)
    if config.target_modules is None or config.target_modules == ALL_LINEAR:
        return sorted(present)
    missing = sorted(set(config.target_modules) - present)
    if missing:
        raise ServiceError(
            f"lora_config.target_modules names {', '.join(missing)}, which {model_name} does not have: "
            f'use "{ALL_LINEAR}" or some of {", ".join(sorted(present))}'
        )
    return list(config.target_modules)


def check_max_steps(config: TrainingConfig) -> None:
    if config.max_steps == 0:
        raise ServiceError("training_config.max_steps must be at least 1, or -1 to train for num_epochs")
