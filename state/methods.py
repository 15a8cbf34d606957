"""What goes with which method of training: preferences with "dpo", all other rows with "sft"."""

from state.config import Method, TrainingConfig
from state.errors import ServiceError
from state.rows.row import Preference, Row

_DEFAULT = TrainingConfig()


def check_settings(settings: TrainingConfig) -> None:
    """Raise ServiceError for settings that mean nothing with the method."""
    if settings.method == "dpo":
        if settings.learn is not None:
            raise ServiceError(
                'training_config.learn does not go with method "dpo": of preferences, the answers are learned. '
                "Leave it out"
            )
        return
    for name in ("beta", "loss_type"):
        if getattr(settings, name) != getattr(_DEFAULT, name):
            raise ServiceError(
                f'training_config.{name} does not go with method "sft": leave it out, or train on preferences with '
                'method "dpo"'
            )


def check_row(method: Method, name: str, row: Row) -> None:
    """Raise ServiceError for a row that the method cannot learn from. `name` is of where it comes from."""
    if isinstance(row, Preference) and method != "dpo":
        raise ServiceError(f'{name} holds preferences: set training_config.method to "dpo" to train on them')
    if method == "dpo" and not isinstance(row, Preference):
        raise ServiceError(
            f'{name} holds rows that are no preferences, and training_config.method is "dpo": each row needs a prompt, '
            'and an answer in chosen and in rejected. To learn from other rows use method "sft"'
        )
