"""A model's files as they are now, for copies that have to be made anew when the files change."""

from pathlib import Path

from transformers.utils.hub import cached_file


def state_of(source: str, *patterns: str, is_here: bool = False) -> list[object]:
    """What is another when config.json or a file of these patterns is: of a folder or a hub id.

    Where the model `is_here`, nobody else is asked about it. Raises OSError for a source without a config.json.
    """
    folder = Path(source)
    if folder.is_dir():
        files = sorted({folder / "config.json", *(file for pattern in patterns for file in folder.glob(pattern))})
        return [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    config = cached_file(source, "config.json", local_files_only=is_here)
    return [Path(str(config)).parent.name]  # the commit: snapshots never change
