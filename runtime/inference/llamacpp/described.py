"""What the engine knows of a base: its tokenizer, what ends its texts, its sizes. Its weights are llama-server's."""

from msgspec import Struct
from transformers import AutoConfig, PreTrainedTokenizerBase

from runtime.model import tokenizers
from runtime.model.prompts import Prompts
from state.errors import ServiceError, first_line

HALF = 2  # bytes of a key's or value's number in llama-server's cache


class Described(Struct, frozen=True):
    """One base."""

    source: str
    tokenizer: PreTrainedTokenizerBase
    prompts: Prompts
    end_tokens: frozenset[int]
    vocabulary: int
    context_length: int | None
    kv_bytes: int
    """Of a token's keys and values."""


def describe(source: str) -> Described:
    """Raises ServiceError for a model whose small files are of no use."""
    loaded = tokenizers.load(source)
    try:
        config = AutoConfig.from_pretrained(source, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise ServiceError(f"Model {tokenizers.shown(source)} cannot be loaded: {first_line(error)}") from error
    vocabulary = min(len(loaded.tokenizer), config.vocab_size)
    return Described(
        source=source,
        tokenizer=loaded.tokenizer,
        prompts=Prompts(loaded.tokenizer, vocabulary),
        end_tokens=loaded.served,
        vocabulary=vocabulary,
        context_length=loaded.context_length,
        kv_bytes=2 * HALF * config.num_hidden_layers * _numbers(config.to_dict()),
    )


def _numbers(config: dict[str, int]) -> int:
    """Of a layer's key. What llama.cpp has no architecture for is refused when it is converted, whatever its names."""
    heads = config.get("num_attention_heads") or 1
    size = config.get("head_dim") or config.get("hidden_size", 0) // heads
    return size * (config.get("num_key_value_heads") or heads)
