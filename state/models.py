"""Base models by name, found without loading them: names, folders, and what their files say of themselves.

A name means, in this order: a folder in `models/` of the data root or of the checkout (which bundles tiny-python), or a
link there to one anywhere, since only the owner of `models/` can have made it; an alias of `models/aliases.json`; a hub
id `org/name`. What is asked of a model here is read from config.json and from the headers of its safetensors files,
which costs milliseconds and no tensor library.
"""

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

from msgspec import Struct

from state import folders, names, safetensors, store
from state.errors import BrokenFile, ServiceError
from state.root import DataRoot
from state.safetensors import Tensor

WEIGHTS = "model*.safetensors"
BUNDLED = Path(__file__).resolve().parent.parent / "models"

PREFIXES = ("model.", "transformer.")
"""What transformers may put before the names in a model's files."""
MAMBAS = ("falcon_h1", "falcon_mamba", "mamba", "mamba2", "nemotron_h")  # by config.json's model_type

_HUB_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}/[A-Za-z0-9][A-Za-z0-9._-]{0,95}")


class Model(Struct, frozen=True, kw_only=True):
    """A base model that a name stands for. `source` is where it comes from: a folder's path or a hub id."""

    name: str
    source: str
    kind: Literal["folder", "alias", "hub"]
    folder: Path | None
    """Where its files lie here; None for a hub model that has not been downloaded."""

    @property
    def in_models(self) -> str | None:
        """The name of its folder in `models/`; None for a hub model."""
        return self.folder.name if self.folder is not None and str(self.folder) == self.source else None

    @property
    def load_from(self) -> str:
        """What transformers is given to load: the folder where there is one, else the hub id to download."""
        return str(self.folder or self.source)


class Listing(Struct, frozen=True):
    """Every model that has a name of its own: folders, then aliases, then hub models in the local cache."""

    models: list[Model]
    problem: str | None
    """What is wrong with an aliases.json, whose aliases are missing then."""


def resolve(root: DataRoot, name: str) -> Model | None:
    """The model that a name stands for; None for an unknown one. A hub id may turn out not to exist."""
    if names.is_valid(name):
        folder = _in_models(root, name)
        if folder is not None:
            return Model(name=name, source=str(folder), kind="folder", folder=folder)
        target = aliases(root).get(name)
        if target is not None:
            return _aliased(root, name, target)
    if _HUB_ID.fullmatch(name):
        return Model(name=name, source=name, kind="hub", folder=hub_folder(name))
    return None


def _in_models(root: DataRoot, name: str) -> Path | None:
    places = [parent / name for parent in (root.models, BUNDLED)]
    return next((folder for folder in places if folders.has(folder, "config.json")), None)


def _aliased(root: DataRoot, alias: str, target: str) -> Model:
    """`target` is the name of a folder in `models/`, or a hub id."""
    folder = _in_models(root, target) if names.is_valid(target) else None
    if folder is not None:
        return Model(name=alias, source=str(folder), kind="alias", folder=folder)
    return Model(name=alias, source=target, kind="alias", folder=hub_folder(target))


def find(root: DataRoot, name: str) -> Model:
    """The model that a name stands for. Raises ServiceError."""
    model = resolve(root, name)
    if model is None:
        raise ServiceError(f"Model {name} not available{_reason(root, name)}")
    return model


def _reason(root: DataRoot, name: str) -> str:
    """Why a name that is there in `models/` stands for no model."""
    folder = root.models / name
    if not names.is_valid(name) or not os.path.lexists(folder):
        return ""
    if not folder.exists():
        return f": models/{name} is a link to {folder.readlink()}, which is not there"
    return f": models/{name} has no config.json"


def available(root: DataRoot) -> Listing:
    """The models to choose from. A broken one is among them: reading its files tells what is wrong."""
    in_folders = {folder.name: folder for parent in (BUNDLED, root.models) for folder in _folders(parent)}
    found = [
        Model(name=name, source=str(folder), kind="folder", folder=folder)
        for name, folder in sorted(in_folders.items())
    ]
    short_names, problem = _read_aliases(root)
    found += [_aliased(root, alias, target) for alias, target in sorted(short_names.items()) if alias not in in_folders]
    for repository in sorted(hub_cache().glob("models--*--*")):
        hub_id = repository.name.removeprefix("models--").replace("--", "/", 1)
        snapshot = hub_folder(hub_id)
        if snapshot is not None:
            found.append(Model(name=hub_id, source=hub_id, kind="hub", folder=snapshot))
    return Listing(found, None if problem is None else str(problem))


def _folders(parent: Path) -> Iterator[Path]:
    """The folders of models in `models/`, broken ones included."""
    for folder in parent.iterdir() if parent.is_dir() else ():
        if names.is_valid(folder.name) and folders.has(folder, "config.json"):
            yield folder


def aliases(root: DataRoot) -> dict[str, str]:
    """Other names for hub ids and folders: the bundled ones, and over them the data root's own. Raises BrokenFile."""
    readable, problem = _read_aliases(root)
    if problem is not None:
        raise problem
    return readable


def _read_aliases(root: DataRoot) -> tuple[dict[str, str], BrokenFile | None]:
    """The aliases that can be read, and why others cannot."""
    merged: dict[str, str] = {}
    problem = None
    for parent in dict.fromkeys((BUNDLED, root.models)):
        try:
            merged |= store.read(parent / "aliases.json", dict[str, str])
        except FileNotFoundError:
            pass
        except BrokenFile as error:
            problem = error
    return merged, problem


def hub_cache() -> Path:
    """Where huggingface_hub keeps what it downloads, by its own rule (its `constants.HF_HUB_CACHE`).

    The server does not import it for this: that takes as long as all else at its start.
    """
    caches = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache"))
    home = _expanded(os.environ.get("HF_HOME", str(caches / "huggingface")))
    before = os.environ.get("HUGGINGFACE_HUB_CACHE", str(home / "hub"))
    return _expanded(os.environ.get("HF_HUB_CACHE", before))


def _expanded(path: str) -> Path:
    return Path(os.path.expandvars(path)).expanduser()


def hub_folder(hub_id: str) -> Path | None:
    """The cached snapshot of a hub model's main revision, if there is one."""
    repository = hub_cache() / f"models--{hub_id.replace('/', '--')}"
    try:
        revision = (repository / "refs" / "main").read_text().strip()
    except OSError:
        return None
    snapshot = repository / "snapshots" / revision
    return snapshot if folders.has(snapshot, "config.json") else None


def config(folder: Path) -> dict[str, object]:
    """The model's config.json. Raises BrokenFile."""
    return store.read_as_written(folder / "config.json")


def context_length(config: dict[str, object]) -> int | None:
    """Tokens that the model can attend to; None where config.json does not say."""
    nested = config.get("text_config")
    for key in ("max_position_embeddings", "n_positions", "n_ctx", "seq_length"):
        for place in (config, nested if isinstance(nested, dict) else {}):
            length = place.get(key)
            if isinstance(length, int) and length > 0:
                return length
    return None


def weight_files(folder: Path) -> list[Path]:
    """The model's safetensors files, an index's shards included. Pickled weights do not count."""
    return sorted(folder.glob(WEIGHTS))


def size_mb(folder: Path) -> float:
    """The size of the model's weights on disk, in 10^6 bytes. Raises BrokenFile."""
    return round(sum(map(_size, weight_files(folder))) / 1e6, 1)


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except FileNotFoundError as error:
        raise _leads_nowhere(file) from error
    except OSError as error:
        raise BrokenFile(file, error.strerror or str(error)) from error


def _leads_nowhere(file: Path) -> BrokenFile:
    """Of a name that a folder has, and for which there is no file."""
    return BrokenFile(file, "is a link to a file that is not there")


def tensors(folder: Path) -> dict[str, Tensor]:
    """Name, type and shape of every tensor, from the files' headers.

    Raises BrokenFile, and FileNotFoundError where there are no safetensors files.
    """
    files = weight_files(folder)
    if not files:
        raise FileNotFoundError(f"{folder.name} has no model.safetensors")
    found: dict[str, Tensor] = {}
    for file in files:
        try:
            found |= safetensors.read_header(file)
        except FileNotFoundError as error:
            raise _leads_nowhere(file) from error
    return found


def matrices(tensors: dict[str, Tensor]) -> Iterator[str]:
    """Names of the modules that have a matrix for a weight, as linear layers have."""
    for name, tensor in tensors.items():
        if name.endswith(".weight") and len(tensor.shape) == 2:
            yield name.removesuffix(".weight")


def adaptable_modules(linear_layers: Iterable[str], model_type: object) -> set[str]:
    """What `target_modules` can name: the last names of a model's linear layers, such as q_proj.

    Layers of a block stand under a number (`model.layers.0.self_attn.q_proj`). Those outside of the blocks, embeddings
    and the output layer, are not offered, nor what a Mamba's kernels read past its own forward pass: PEFT refuses it.
    """
    inside_a_block = re.compile(r"\.\d+\..*?([^.]+)$")
    found = {match[1] for name in linear_layers if (match := inside_a_block.search(f".{name}")) is not None}
    return found - {"out_proj"} if model_type in MAMBAS else found


def unquantized_modules(tensors: Iterable[str], adaptable: set[str]) -> set[str]:
    """The last names of modules that keep their weights as they are: embeddings, norms and the output layer.

    The output layer may be missing from the files: it shares its weights with the embedding then.
    """
    owners = {name.rpartition(".")[0].rpartition(".")[2] for name in tensors}
    return (owners | {"lm_head"}) - adaptable - {""}
