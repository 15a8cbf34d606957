"""The result files of jobs among the files: made of a job's metrics, and kept nowhere else."""

from handlers.v1.files.file_object import FileObject
from runtime.server.entries import JobEntry
from runtime.server.service import Service
from state import result_files
from state.errors import NotFound


def job_of(service: Service, file_id: str) -> JobEntry | None:
    """The job whose result file this is; None for any other file. Raises NotFound for a job that has none."""
    if not file_id.startswith(result_files.PREFIX):
        return None
    missing = NotFound(f"No such File object: {file_id}")
    try:
        entry = service.index.job(file_id.removeprefix(result_files.PREFIX))
    except NotFound:
        raise missing from None
    if entry.status.status != "completed":
        raise missing
    return entry


def created_at(entry: JobEntry) -> int:
    return int((entry.status.completed_at or entry.created_at).timestamp())


def result_object(entry: JobEntry) -> FileObject:
    return FileObject(
        id=result_files.id_of(entry.job_id),
        bytes=len(result_files.content(entry.folder)),
        created_at=created_at(entry),
        filename=result_files.FILENAME,
        purpose=result_files.PURPOSE,
        status="processed",
    )
