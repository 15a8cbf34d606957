"""The data root: where jobs, adapters, data sets and models lie."""

import errno
import os
from pathlib import Path

import msgspec

from state.errors import ServiceError


class DataRoot(msgspec.Struct, frozen=True):
    """The folders in one place: six that people see, and `.cache/`. `path` is absolute and free of symlinks."""

    path: Path

    @classmethod
    def at(cls, path: Path) -> "DataRoot":
        return cls(Path(os.path.realpath(path)))  # Path.resolve raises RuntimeError for links in a circle

    @property
    def training_jobs(self) -> Path:
        return self.path / "training_jobs"

    @property
    def adapters(self) -> Path:
        return self.path / "adapters"

    @property
    def training_data(self) -> Path:
        return self.path / "training_data"

    @property
    def models(self) -> Path:
        return self.path / "models"

    @property
    def evaluations(self) -> Path:
        return self.path / "evaluations"

    @property
    def exports(self) -> Path:
        """Where exports appear that ask for no other place. What is in there is the user's."""
        return self.path / "exports"

    @property
    def quantized_bases(self) -> Path:
        """Copies that can be made again: whoever removes them loses a minute at most."""
        return self.path / ".cache" / "bases"

    @property
    def managed(self) -> tuple[Path, ...]:
        return (self.training_jobs, self.adapters, self.training_data, self.models, self.evaluations)

    def create(self) -> None:
        """Make those of the folders that are not there: at the start, and before something is put into one of them."""
        for folder in self.managed:
            folder.mkdir(parents=True, exist_ok=True)

    def shown(self, path: Path | str) -> str:
        """A path in the root as the API shows it: `./adapters/mine`."""
        return f".{str(path).removeprefix(str(self.path))}"

    def inside(self, path: Path | str) -> Path | None:
        """What a path means, seen from the root: absolute and free of symlinks. None where it leads out of the root.

        None too for links that lead in a circle.
        """
        followed = Path(os.path.realpath(self.path / path))
        return followed if followed.is_relative_to(self.path) and not _is_circle(followed) else None

    def holds(self, path: Path) -> bool:
        """Whether the path, its symlinks followed, stays inside the root."""
        return self.inside(path) is not None

    def holds_entry(self, path: Path) -> bool:
        """`holds` for what lies in a folder of the root itself: only a symlink can lead out of it."""
        return not path.is_symlink() or self.holds(path)

    def output_folder(self, output_dir: str) -> Path:
        """The absolute folder that a request's `output_dir` means. Raises ServiceError when it may not be used."""
        if "\0" in output_dir or not output_dir.strip():
            raise ServiceError("output_dir must be the path of a folder")
        folder = self.inside(output_dir)
        if folder is None:
            raise ServiceError(
                f"output_dir {output_dir!r} lies outside the data root: use a folder inside it, such as ./custom_output"
            )
        for managed in self.managed:
            if folder.is_relative_to(managed):
                raise ServiceError(
                    f"output_dir {output_dir!r} lies in {managed.name}/, which Lathe keeps itself: "
                    "use another folder of the data root, such as ./custom_output"
                )
        if any(part.startswith(".") for part in folder.relative_to(self.path).parts):
            raise ServiceError(f"output_dir {output_dir!r} is hidden: use a folder whose name does not start with '.'")
        if folder == self.path:
            raise ServiceError("output_dir must name a folder inside the data root, such as ./custom_output")
        if any(parent.exists() and not parent.is_dir() for parent in (folder, *folder.parents)):
            raise ServiceError(f"output_dir {output_dir!r} is not a folder")
        return folder


def _is_circle(path: Path) -> bool:
    """Whether symlinks lead from here to one another, and to nothing else."""
    try:
        path.stat()
    except OSError as error:
        return error.errno == errno.ELOOP
    return False
