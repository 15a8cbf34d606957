"""What other programs are told of how Lathe asks an adapter: the chat template, and the tokens that end answers."""

from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct
from transformers import PreTrainedTokenizerBase

from runtime.export.fitted import Fitted
from runtime.model import chat
from runtime.model.chat import ChatTemplate
from runtime.model.tokenizers import end_tokens
from state import chat_templates, store

SETTINGS = "generation_config.json"
TOKENIZER_SETTINGS = "tokenizer_config.json"
OLDER = "chat_template.json"  # of transformers before 4.43


class Asking(Struct, frozen=True):
    """`tokenizer` has the template that Lathe serves the adapter with, the model's own or another."""

    tokenizer: PreTrainedTokenizerBase
    template: str
    is_bases_own: bool
    ends: list[int]
    """Every token at which Lathe ends an answer: those that the adapter has learned to end with come first."""
    learned: list[int]
    """Those of them at which the base does not stop."""


def of(fitted: Fitted) -> Asking:
    """Raises ServiceError for a stop token that the model has not, and for a template that is none."""
    tokenizer, settings = fitted.tokenizer(), fitted.chat
    used = ChatTemplate(tokenizer, settings.template)
    switches = {name: value for name, value in settings.switches.items() if name in used.switches}
    template = _switched(used.source, switches)
    tokenizer.chat_template = template
    served = end_tokens(str(fitted.base), tokenizer)
    learned = [token for token in chat.stop_ids(tokenizer, settings.stop_tokens) if token not in served]
    return Asking(
        tokenizer, template, used.is_models_own and template == used.source, [*learned, *sorted(served)], learned
    )


def write(asking: Asking, fitted: Fitted, into: Path) -> None:
    """Put it into a model's folder that has the base's files: where the base says something else, that goes.

    The template gets a file of its own. transformers, vLLM and llama.cpp's converter take it before anything else;
    programs that look elsewhere must not find another one.
    """
    if not asking.is_bases_own:
        (into / OLDER).unlink(missing_ok=True)
        if (into / TOKENIZER_SETTINGS).exists():
            written = store.read_as_written(into / TOKENIZER_SETTINGS)
            if written.pop("chat_template", None) is not None:
                (into / TOKENIZER_SETTINGS).write_bytes(store.pretty(written))
        write_template(asking, into)
    if asking.learned:
        has_own = (fitted.base / SETTINGS).exists()
        settings = store.read_as_written(fitted.base / SETTINGS) if has_own else _tokens_of(fitted)
        (into / SETTINGS).write_bytes(store.pretty(settings | {"eos_token_id": asking.ends}))


def write_template(asking: Asking, into: Path) -> None:
    """As a file that transformers, vLLM (`--chat-template`) and llama.cpp (`--chat-template-file`) take."""
    (into / chat_templates.FILE).write_text(asking.template, encoding="utf-8")


def _switched(source: str, switches: Mapping[str, bool]) -> str:
    """A template that is told by itself what the adapter's was told, unless whoever asks says otherwise.

    transformers compiles templates so that one line end behind a tag, or a comment, is dropped: what the template
    itself begins with stays as it was.
    """
    said = [
        f"{{% if {name} is not defined %}}{{% set {name} = {str(value).lower()} %}}{{% endif %}}\n"
        for name, value in switches.items()
    ]
    return "".join([*said, source])


def _tokens_of(fitted: Fitted) -> dict[str, object]:
    tokens = {name: getattr(fitted.config, name, None) for name in ("bos_token_id", "pad_token_id")}
    return {name: token for name, token in tokens.items() if token is not None}
