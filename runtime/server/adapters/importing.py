"""Adapters from elsewhere: every check is made before `adapters/<name>/` appears, whole."""

import errno

from runtime.server.adapters import names as adapter_names
from runtime.server.index import Index
from state import adapters, folders, packages
from state.adapters import Adapter, NameTaken
from state.errors import BrokenFile, ServiceError
from state.packages import Package
from state.root import DataRoot

BY = "import"  # in the hidden name of what is half made


def from_path(root: DataRoot, index: Index, path: str, name: str | None, description: str | None) -> Adapter:
    """Take in an adapter's folder, or an archive of one, that lies inside the data root. Raises ServiceError."""
    if "\0" in path or not path.strip():
        raise ServiceError("path must be the path of a folder or an archive")
    source = (root.path / path).resolve()
    if not source.is_relative_to(root.path):
        raise ServiceError(f"path {path!r} lies outside the data root: send the archive itself as the request's body")
    name = name or packages.default_name(source)
    try:
        if source.is_dir():
            return take_in(root, index, packages.folder(root, source), name, description)
        if source.is_file():
            with source.open("rb") as file:
                return take_in(root, index, packages.archive(file), name, description)
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
    raise ServiceError(f"path {path!r} is neither a folder nor an archive")


def take_in(root: DataRoot, index: Index, package: Package, name: str, description: str | None) -> Adapter:
    """Raises ServiceError, and then nothing has appeared."""
    with adapter_names.taking(root, index, "adapter_name", name):
        try:
            with folders.appearing(root.adapters / name, by=BY) as hidden:
                packages.unpack(package, hidden)
                adapters.settle(root, hidden, description)
        except BrokenFile as error:
            raise ServiceError(f"{error.path.name}: {error.reason}") from error  # without the hidden folder's name
        except OSError as error:
            if error.errno in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR):
                raise NameTaken(f"adapters/{name} exists already") from error
            raise
        index.refresh_adapter(name)
        return index.adapter(name)
