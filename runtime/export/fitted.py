"""An adapter and its base's files, checked to fit each other, before anything is written."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError
from msgspec import Struct
from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase
from transformers.pytorch_utils import Conv1D

from runtime.model import adapter_files, tokenizers
from runtime.model.adapter_files import Checked
from state.adapters import ChatSettings
from state.errors import ServiceError

WANTED = ("*.json", "*.safetensors", "*.model", "*.txt", "*.jinja", "LICENSE*")
UNCHANGED = Checked({}, frozenset(), {})


class Fitted(Struct, frozen=True, kw_only=True):
    """An adapter that fits its base, of which nothing but the modules' names has been loaded."""

    adapter: Path
    """The base's own folder where there is no adapter; nothing is read of it then."""
    base: Path
    """The base's folder."""
    model_name: str
    config: PreTrainedConfig
    prefix: str
    """What the names of the base's files may leave out."""
    names: list[str]
    """The tensors of transformers' model, those that are another one's too left out."""
    embedding: str
    output: str
    """The layers that have the vocabulary: tied, they share one tensor."""
    transposed: frozenset[str]
    """The layers whose weight is [in, out]: GPT-2's."""
    checked: Checked
    chat: ChatSettings
    """How Lathe asks the adapter."""

    @classmethod
    def of(cls, adapter: Path, model_name: str, source: str, chat: ChatSettings) -> "Fitted":
        """Raises ServiceError, in the words of a load."""
        base = _folder(model_name, source)
        return cls._on(base, adapter, model_name, chat, partial(adapter_files.check, adapter))

    @classmethod
    def bare(cls, model_name: str, source: str) -> "Fitted":
        """A base without any adapter. Raises ServiceError."""
        base = _folder(model_name, source)
        return cls._on(base, base, model_name, ChatSettings(), lambda _: UNCHANGED)

    @classmethod
    def _on(
        cls,
        base: Path,
        adapter: Path,
        model_name: str,
        chat: ChatSettings,
        check: Callable[[PreTrainedModel], Checked],
    ) -> "Fitted":
        """`check` comes last: it uses up the skeleton."""
        skeleton = adapter_files.skeleton(str(base))
        config = skeleton.config
        if getattr(config, "quantization_config", None) is not None:
            raise ServiceError(f"Model {model_name} is quantized itself: export needs its 16 or 32-bit weights")
        every = dict(skeleton.named_parameters(remove_duplicate=False))
        buffers = [name for name in skeleton.state_dict() if name not in every]
        layers = {id(module): name for name, module in skeleton.named_modules()}
        return cls(
            adapter=adapter,
            base=base,
            model_name=model_name,
            config=config,
            prefix=f"{skeleton.base_model_prefix}.",
            names=[name for name, _ in skeleton.named_parameters()] + buffers,
            embedding=layers[id(skeleton.get_input_embeddings())],
            output=layers[id(skeleton.get_output_embeddings())],
            transposed=frozenset(name for name, module in skeleton.named_modules() if isinstance(module, Conv1D)),
            checked=check(skeleton),
            chat=chat,
        )

    @property
    def is_untied(self) -> bool:
        """Whether the adapter changes one of two layers that share a tensor, which then no longer do."""
        changed = self.checked.scalings.keys() | {name.removesuffix(".weight") for name in self.checked.replaces}
        return f"{self.output}.weight" not in self.names and not changed.isdisjoint({self.embedding, self.output})

    def tokenizer(self) -> PreTrainedTokenizerBase:
        """Raises ServiceError."""
        return tokenizers.load_tokenizer(str(self.base))


def _folder(model_name: str, source: str) -> Path:
    """The base's files, downloaded where they are not here."""
    if Path(source).is_dir():
        return Path(source)
    try:
        return Path(snapshot_download(source, allow_patterns=list(WANTED)))
    except (HfHubHTTPError, OSError, ValueError) as error:
        raise ServiceError(f"Model {model_name} not available") from error
