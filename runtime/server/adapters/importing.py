"""Adapters from elsewhere: every check is made before `adapters/<name>/` appears, whole."""

import errno

from runtime.server.adapters.names import AdapterNames
from runtime.server.index import Index
from state import adapter_records, archives, folders
from state.adapters import Adapter
from state.archives import Package
from state.errors import BrokenFile, ServiceError
from state.root import DataRoot

BY = "import"  # in the hidden name of what is half made


class Imports:
    """Takes adapters in under names that nobody else has."""

    def __init__(self, root: DataRoot, index: Index, adapter_names: AdapterNames) -> None:
        self._root = root
        self._index = index
        self._adapter_names = adapter_names

    def from_path(self, path: str, name: str | None, description: str | None) -> Adapter:
        """Take in an adapter's folder, or an archive of one, that lies inside the data root. Raises ServiceError."""
        if "\0" in path or not path.strip():
            raise ServiceError("path must be the path of a folder or an archive")
        source = self._root.inside(path)
        if source is None:
            raise ServiceError(
                f"path {path!r} lies outside the data root: send the archive itself as the request's body"
            )
        name = name or archives.default_name(source)
        try:
            if source.is_dir():
                return self.take_in(archives.folder(self._root, source), name, description)
            if source.is_file():
                with source.open("rb") as file:
                    return self.take_in(archives.archive(file), name, description)
        except OSError as error:
            if error.errno != errno.ENAMETOOLONG:
                raise
        raise ServiceError(f"path {path!r} is neither a folder nor an archive")

    def take_in(self, package: Package, name: str, description: str | None) -> Adapter:
        """Raises ServiceError, and then nothing has appeared."""
        with self._adapter_names.reserved("adapter_name", name):
            self._root.create()
            try:
                with folders.appearing(self._root.adapters / name, by=BY) as hidden:
                    archives.unpack(package, hidden)
                    adapter_records.settle(self._root, hidden, description)
            except BrokenFile as error:
                raise ServiceError(f"{error.path.name}: {error.reason}") from error  # without the hidden folder's name
            self._index.refresh_adapter(name)
            return self._index.adapter(name)
