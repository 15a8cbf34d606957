"""Loading an adapter by a name and a path, as vLLM's clients ask for it.

Here every adapter of `adapters/` has its name already, and is loaded by the first request that names it. What the
path adds: a folder elsewhere in the data root is imported under the name. Unloading it later does not delete that
copy, so that a load of the same files again finds it.
"""

import asyncio
import filecmp
from pathlib import Path

from runtime.server.adapters.importing import Imports
from runtime.server.answering.serving import Serving
from state import adapters, names
from state.errors import ServiceError
from state.root import DataRoot


class LoraLoading:
    """Loads adapters of one data root."""

    def __init__(self, root: DataRoot, imports: Imports, serving: Serving) -> None:
        self._root = root
        self._imports = imports
        self._serving = serving

    async def load(self, name: str, path: str) -> None:
        """Have the adapter of this path in memory under this name. Which one answers without a name stays.

        Raises ServiceError for a path that is no adapter of the data root or does not fit its base, and for a name that
        another adapter has; then there is no adapter that there was not before.
        """
        is_new = await asyncio.to_thread(self._imported, name, path)
        try:
            await self._serving.ready(name)
        except ServiceError:
            if is_new:
                await self._serving.delete(name)
            raise

    def _imported(self, name: str, path: str) -> bool:
        """Import the adapter if nobody has the name. Returns whether it was imported."""
        names.check_adapter("lora_name", name)
        source = self._root.inside(path) if "\0" not in path and path.strip() else None
        if source is None:
            raise ServiceError(
                f"lora_path {path!r} is no path in the data root: copy the adapter's folder to adapters/{name}, and "
                "give that as the path"
            )
        if not adapters.is_taken(self._root, name):
            self._imports.from_path(str(source), name, None)
            return True
        own = self._root.inside(self._root.adapters / name)
        if own is None or not (own == source or _are_alike(own, source)):
            raise ServiceError(
                f"lora_name {name!r} is taken by another adapter than {path!r}: choose another name, or delete that "
                f"adapter first with DELETE /v1/models/{name}"
            )
        return False


def _are_alike(some: Path, other: Path) -> bool:
    """Whether two folders hold the same adapter."""
    try:
        return all(
            filecmp.cmp(some / name, other / name, shallow=False) for name in (adapters.CONFIG, adapters.WEIGHTS)
        )
    except OSError:
        return False
