"""A base's tokenizer, and the tokens at which it stops: read from its small files, without its weights.

Training, inference and what is told of a data set all take them from here, so that a text ends at the same token
everywhere. Nothing here needs torch.
"""

from pathlib import Path

from msgspec import Struct
from transformers import AutoConfig, AutoTokenizer, GenerationConfig, PreTrainedConfig, PreTrainedTokenizerBase

from state import models
from state.errors import ServiceError, first_line


class BaseTokenizer(Struct, frozen=True):
    """A base's tokenizer, and what bounds the base's texts."""

    tokenizer: PreTrainedTokenizerBase
    served: frozenset[int]
    """The tokens at which the base stops by itself."""
    context_length: int | None


def load(source: str) -> BaseTokenizer:
    """Of a folder or a hub id. Raises ServiceError for a model whose files are of no use."""
    tokenizer = load_tokenizer(source)
    return BaseTokenizer(tokenizer, end_tokens(source, tokenizer), _context_length(source))


def load_tokenizer(source: str) -> PreTrainedTokenizerBase:
    """The tokenizer of a folder or a hub id, with a token to pad with. Raises ServiceError when there is none."""
    try:
        tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=False)
    except (OSError, ValueError, ImportError) as error:  # some need a library that Lathe does not bring
        raise ServiceError(f"The tokenizer of {shown(source)} cannot be loaded: {first_line(error)}") from error
    if tokenizer.pad_token_id is None:
        # padding is masked everywhere: any token of the vocabulary serves, and a new one would need a new embedding
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token or tokenizer.convert_ids_to_tokens(0)
    return tokenizer


def end_tokens(source: str, tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    """The tokens that end a text, as the model's own settings say, else its tokenizer.

    They are those that a loaded model would have in its `generation_config`. Nothing else is taken of a published
    model's generation settings, which may bring penalties and a top_k. Raises ServiceError for an unreadable model.
    """
    try:
        end = _generation_config(source).eos_token_id
    except (OSError, ValueError) as error:
        raise ServiceError(f"The settings of {shown(source)} cannot be loaded: {first_line(error)}") from error
    if end is None:
        end = tokenizer.eos_token_id
    if end is None:
        return frozenset()
    return frozenset(end if isinstance(end, list) else [end])


def shown(source: str) -> str:
    """What a source is called in sentences: a folder by its name."""
    return Path(source).name if Path(source).is_absolute() else source


def _context_length(source: str) -> int | None:
    try:
        described = AutoConfig.from_pretrained(source, trust_remote_code=False).to_dict()
    except (OSError, ValueError) as error:
        raise ServiceError(f"Model {shown(source)} cannot be loaded: {first_line(error)}") from error
    return models.context_length(described)


def _generation_config(source: str) -> GenerationConfig:
    try:
        return GenerationConfig.from_pretrained(source)
    except OSError:  # it has no generation_config.json: what it says is in its config.json
        return GenerationConfig.from_model_config(PreTrainedConfig.get_config_dict(source)[0])
