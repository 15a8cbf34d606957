"""What a job takes from its data: the rows that it is trained on, and those that it is evaluated on.

A job's own files come first, then the texts in job.json, then the data sets that it names. The rows to evaluate on are
the first of

    data/eval.jsonl, which the API writes for what a request brings or names
    `eval_texts`; an empty list says that there are none
    the data set `eval_dataset_name`
    the share `validation_split` of the job's own rows
    the held-out files of the data set that the job is trained on

Those that a job asks for exclude one another.
"""

from msgspec import Struct, structs

from state import examples, training_data
from state.errors import BrokenFile, ServiceError
from state.jobs import Job, JobFolder
from state.root import DataRoot
from state.row_source import RowSource
from state.rows.split import Split


class JobRows(Struct, frozen=True):
    train: RowSource
    held_out: RowSource | None
    """None where the job is not evaluated."""


def asked(root: DataRoot, job: Job) -> JobRows:
    """The rows of a request that has become `job`. Raises ServiceError when there are none, or two kinds."""
    if job.train_texts is None and job.dataset_name is None:
        raise ServiceError("train_texts is required")
    return _rows(root, job, None, None)


def found(root: DataRoot, folder: JobFolder, job: Job) -> JobRows:
    """The rows of a job's folder.

    Raises BrokenFile where there is nothing to train on, ServiceError for two kinds, and for an unknown data set.
    """
    train = RowSource("train.jsonl", str(folder.train_file)) if folder.train_file.exists() else None
    held_out = RowSource("eval.jsonl", str(folder.eval_file)) if folder.eval_file.exists() else None
    if train is None and job.train_texts is None and job.dataset_name is None:
        raise BrokenFile(folder.job_file, "no examples: add data/train.jsonl, or train_texts in job.json")
    return _rows(root, job, train, held_out)


def _rows(root: DataRoot, job: Job, train: RowSource | None, held_out: RowSource | None) -> JobRows:
    """`train` and `held_out` are the job's own files, where it has them."""
    _check_one(
        {
            "data/eval.jsonl": held_out is not None and job.eval_dataset_name is None,  # else it is the copy of that
            "eval_texts": job.eval_texts is not None,
            "eval_dataset_name": job.eval_dataset_name is not None,
            "validation_split": job.training_config.validation_split is not None,
        }
    )
    trained = train or _named(root, job)
    share = job.training_config.validation_split
    if share is not None:
        split = Split(share, job.seed)
        other = structs.replace(split, is_held_out=True)
        return JobRows(structs.replace(trained, split=split), structs.replace(trained, split=other))
    return JobRows(trained, held_out or _evaluated(root, job, is_copied=train is not None))


def _named(root: DataRoot, job: Job) -> RowSource:
    _check_one({"train_texts": job.train_texts is not None, "dataset_name": job.dataset_name is not None})
    if job.train_texts is not None:
        examples.check("train_texts", job.train_texts)
        return RowSource("train_texts", texts=job.train_texts)
    return training_data.source(root, job.dataset_name or "")


def _evaluated(root: DataRoot, job: Job, *, is_copied: bool) -> RowSource | None:
    """What a job without a file of its own is evaluated on; `is_copied`: its rows do not come from its data set."""
    if job.eval_texts is not None:
        if job.eval_texts:
            examples.check("eval_texts", job.eval_texts)
        return RowSource("eval_texts", texts=job.eval_texts) if job.eval_texts else None
    if job.eval_dataset_name is not None:
        if job.eval_dataset_name == job.dataset_name:
            raise ServiceError(
                "eval_dataset_name is the data set that is trained on: name another one, or leave it out and give "
                "training_config.validation_split; held-out files of the data set are taken without it"
            )
        return training_data.source(root, job.eval_dataset_name)
    if job.dataset_name is None or is_copied:
        return None
    return training_data.held_out(root, job.dataset_name)


def _check_one(given: dict[str, bool]) -> None:
    """Raise ServiceError where more than one of these is given."""
    several = [name for name, is_given in given.items() if is_given]
    if len(several) > 1:
        raise ServiceError(f"{' and '.join(several)} exclude each other: give one of them")
