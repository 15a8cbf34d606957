"""Where an adapter lies: `adapters/<name>/`, and the second places that the job which made it keeps of it.

A job's `adapter/` and `checkpoints/`, and `<output_dir>/<name>/`, go with the adapter that the job published. A copy of
that one (by `cp -r`, or `cp -al`) has the same record and goes alone.
"""

from pathlib import Path

from state import folders, jobs, locks, names, store
from state.adapters import RECORD, AdapterRecord, all_folders, find
from state.errors import BrokenFile, NotFound, ServiceError
from state.jobs import JobFolder
from state.root import DataRoot


def link_into(built: Path, target: Path, job_id: str) -> None:
    """Make `target` a second name of the files in `built`: hard links where the file system has them, else copies.

    Complete or not at all. Raises Taken when `target` exists, also when it came into being meanwhile.
    """
    folders.check_free(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    with folders.appearing(target, by=job_id) as hidden:
        folders.copy_by_links(built, hidden)


def rename(root: DataRoot, name: str, new_name: str) -> None:
    """Give an adapter another name, and its copy in the job's `output_dir` too.

    Raises NotFound, Taken; ServiceError when the file system refuses.
    """
    path = find(root, name)
    copy = _copy_in_output_dir(root, path)
    moves = [(folder, folder.with_name(new_name)) for folder in (copy, path) if folder is not None]
    for _, target in moves:
        folders.check_free(target)
    try:
        for folder, target in moves:  # the copy first: a renaming that was cut off can be asked for again
            folder.rename(target)
            store.flush(target.parent)
    except OSError as error:
        raise ServiceError(f"Failed to rename adapter {name}: {error.strerror or error}") from error


def remove(root: DataRoot, name: str) -> None:
    """Delete an adapter, and where its job published it under this name, what the job keeps of it too.

    Raises NotFound; ServiceError when the file system refuses.
    """
    path = find(root, name)
    try:
        copy = _copy_in_output_dir(root, path)
        _remove_in_job(root, path)
        if copy is not None:
            folders.vanish(copy)
        folders.vanish(path)  # last: a deletion that was cut off can be asked for again
    except OSError as error:
        raise ServiceError(f"Failed to delete adapter {name}: {error.strerror or error}") from error


def belongs_to(folder: Path, job_id: str | None) -> bool:
    """Whether the adapter in this folder was made by this job."""
    record = _record_in(folder)
    return record is not None and record.job_id == job_id


def job_of(root: DataRoot, folder: Path) -> JobFolder | None:
    """The job that made the adapter in this folder, where it is still there."""
    return _job_of(root, _record_in(folder))


def _remove_in_job(root: DataRoot, path: Path) -> None:
    """Remove the job's own adapter and checkpoints, if that is what this adapter is.

    Those of a job that is run anew are the new run's.
    """
    record = _record_in(path)
    job = _job_of(root, record)
    if record is None or job is None or not _is_published(root, path, record):
        return
    try:
        with locks.hold(job.trainer_lock, jobs.TRAINER_END_S):
            if jobs.read_status(job).status == "completed":
                for folder in (job.adapter, job.checkpoints):
                    if folder.is_dir() and root.holds(folder):
                        folders.vanish(folder)
    except (locks.LockHeld, BrokenFile):
        return


def _copy_in_output_dir(root: DataRoot, path: Path) -> Path | None:
    """The second place of an adapter that a job's `output_dir` asked for, where it still is one."""
    record = _record_in(path)
    if record is None or record.job_id is None or record.output_dir is None:
        return None
    copy = root.inside(Path(record.output_dir, path.name))
    is_copy = copy is not None and belongs_to(copy, record.job_id)
    return copy if is_copy and _is_published(root, path, record) else None


def _is_published(root: DataRoot, path: Path, record: AdapterRecord) -> bool:
    """Whether this is the adapter that the job published, renamed or not, and no copy of it.

    The job's status has the name that it gave. Where no adapter has that name by now, the only one that says it is the
    job's was renamed; of several none is believed, so that nothing of another one is lost.
    """
    job = _job_of(root, record)
    try:
        published = jobs.read_status(job).adapter_name if job else None
    except BrokenFile:
        published = None
    if path.name == published:
        return True
    return not any(belongs_to(other, record.job_id) for other in all_folders(root) if other != path)


def _job_of(root: DataRoot, record: AdapterRecord | None) -> JobFolder | None:
    if record is None or record.job_id is None or not names.is_valid(record.job_id):
        return None
    try:
        return jobs.find(root, record.job_id)
    except NotFound:
        return None


def _record_in(folder: Path) -> AdapterRecord | None:
    """The record, where there is one that can be read."""
    try:
        return store.read(folder / RECORD, AdapterRecord)
    except (FileNotFoundError, BrokenFile):
        return None
