"""The training configuration that a fine-tuning request stands for."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct, structs

from handlers._http.sentences import validation_sentence
from state import fine_tuning
from state.config import Method, TrainingConfig
from state.errors import ServiceError

EARLIER_EPOCHS = 2
"""Whose adapters are kept: with the finished one, those of the last three epochs, as OpenAI does."""
METHODS: dict[str, Method] = {"supervised": "sft", "dpo": "dpo"}

Epochs = Annotated[int, Meta(ge=1, le=1_000_000)]
BatchSize = Annotated[int, Meta(ge=1, le=4096)]
Multiplier = Annotated[float, Meta(gt=0)]
Beta = Annotated[float, Meta(gt=0, le=1000)]


class Hyperparameters(Struct, forbid_unknown_fields=True, frozen=True):
    """What is left out, or "auto", is Lathe's own default, or what `lathe.training_config` says."""

    n_epochs: Epochs | Literal["auto"] | None = None
    batch_size: BatchSize | Literal["auto"] | None = None
    """Rows of one optimizer step."""
    learning_rate_multiplier: Multiplier | Literal["auto"] | None = None
    """Of the method's default rate."""
    beta: Beta | Literal["auto"] | None = None
    """With "dpo" alone."""

    def asked(self) -> dict[str, float]:
        """The numbers."""
        return {name: value for name, value in structs.asdict(self).items() if value is not None and value != "auto"}


class MethodSettings(Struct, forbid_unknown_fields=True, frozen=True):
    hyperparameters: Hyperparameters | None = None


class MethodRequest(Struct, forbid_unknown_fields=True, frozen=True):
    type: Literal["supervised", "dpo", "reinforcement"]
    supervised: MethodSettings | None = None
    dpo: MethodSettings | None = None
    reinforcement: dict[str, object] | None = None

    def own(self) -> tuple[Method, Hyperparameters | None]:
        """The method by Lathe's name, and what is set for it. Raises ServiceError."""
        if self.type == "reinforcement" or self.reinforcement is not None:
            raise ServiceError(
                'method "reinforcement" is not trained here: use "supervised", or "dpo" for preferences', param="method"
            )
        settings = {"supervised": self.supervised, "dpo": self.dpo}
        own = settings.pop(self.type)
        other = next((name for name, one in settings.items() if one is not None), None)
        if other is not None:
            raise ServiceError(f'method.{other} does not go with type "{self.type}": leave it out', param="method")
        return METHODS[self.type], own.hyperparameters if own else None


def training_config(
    method: MethodRequest | None, older: Hyperparameters | None, given: dict[str, object]
) -> TrainingConfig:
    """What the method's hyperparameters stand for, or those that `older` clients send, and beside them what is `given`.

    Raises ServiceError for what cannot be had, or is said twice.
    """
    kind, newer = ("sft", None) if method is None else method.own()
    if older and newer and older.asked() and older.asked() != newer.asked():
        raise ServiceError(
            "hyperparameters and method say different things: leave hyperparameters out", param="hyperparameters"
        )
    asked = {"method": kind, **_settings(kind, (newer or older or Hyperparameters()).asked())}
    twice = sorted(asked.keys() & given.keys())
    if twice:
        raise ServiceError(
            f"lathe.training_config.{twice[0]} is what the request's own fields say, too: give it once", param="lathe"
        )
    defaults = {"learning_rate": fine_tuning.DEFAULT_RATES[kind], "logging_steps": 1, "keep_epochs": EARLIER_EPOCHS}
    try:
        return msgspec.convert({**defaults, **asked, **given}, TrainingConfig)
    except msgspec.ValidationError as error:
        sentence = validation_sentence(str(error), TrainingConfig)
        raise ServiceError(f"lathe.training_config: {sentence}", param="lathe") from error


def _settings(kind: Method, figures: dict[str, float]) -> dict[str, object]:
    found: dict[str, object] = {}
    if "n_epochs" in figures:
        found["num_epochs"] = figures["n_epochs"]
    if "batch_size" in figures:
        found |= {"batch_size": figures["batch_size"], "gradient_accumulation_steps": 1}
    if "learning_rate_multiplier" in figures:
        default = fine_tuning.DEFAULT_RATES[kind]
        found["learning_rate"] = figures["learning_rate_multiplier"] * default
        if figures["learning_rate_multiplier"] * default > 1:
            raise ServiceError(
                f"learning_rate_multiplier must be at most {1 / default:g}: it is of the rate {default:g}",
                param="hyperparameters",
            )
    if "beta" in figures:
        if kind != "dpo":
            raise ServiceError('beta goes with method "dpo" alone: leave it out', param="hyperparameters")
        found["beta"] = figures["beta"]
    return found
