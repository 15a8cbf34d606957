"""A job in the units of OpenAI's fine-tuning API.

They are worked out from what any job has, so that jobs which were started otherwise have them too: `training_file` is
`dataset_name`, `validation_file` is `eval_dataset_name`, and the hyperparameters come from the training configuration.
"""

from msgspec import Struct

from state import store
from state.config import Method, TrainingConfig
from state.errors import BrokenFile
from state.jobs import JobFolder
from state.openai_view import OpenAIView

DEFAULT_RATES: dict[Method, float] = {"sft": 2e-4, "dpo": 2e-5}
"""The learning rates that a multiplier of 1 stands for. Preferences need lower ones (docs/configuration.md)."""


def examples_per_step(settings: TrainingConfig) -> int:
    """OpenAI's batch size."""
    return settings.batch_size * settings.gradient_accumulation_steps


def rate_multiplier(settings: TrainingConfig) -> float:
    """In six digits, so that a multiplier that was asked for is shown as it was."""
    return float(f"{settings.learning_rate / DEFAULT_RATES[settings.method]:.6g}")


class _JobFile(Struct):
    openai: OpenAIView | None = None


def view(folder: JobFolder) -> OpenAIView:
    """What job.json keeps for this view alone: nothing of jobs that were started otherwise, or that cannot be read."""
    try:
        return store.read(folder.job_file, _JobFile).openai or OpenAIView()
    except (FileNotFoundError, BrokenFile):
        return OpenAIView()
