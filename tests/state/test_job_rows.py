"""What a job takes from its data, however it was made: by a request, or by hand."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from msgspec import convert, structs

from state import job_rows, jobs, new_jobs, training_data, uploads
from state.errors import BrokenFile, ServiceError
from state.jobs import Job, JobFolder
from state.root import DataRoot
from state.row_source import RowSource
from state.rows.row import Preference, Text

TEXTS = [f"text {number}" for number in range(40)]
REPLACED = r"^alone was replaced or deleted while it was read: try again$"
SPLIT = {"validation_split": 0.3}


@pytest.fixture
def root(tmp_path: Path) -> DataRoot:
    root = DataRoot.at(tmp_path)
    root.create()
    uploads.save(root, "alone", TEXTS)
    uploads.save(root, "whole", TEXTS, eval_texts=["held out"])
    return root


def _job(**fields: Any) -> Job:
    return convert({"model_name": "toy"} | fields, Job)


def _by_request(root: DataRoot, job: Job) -> JobFolder:
    rows = job_rows.asked(root, job)
    return new_jobs.create(root, structs.replace(job, train_texts=None, eval_texts=None), rows.train, rows.held_out)


def _by_hand(root: DataRoot, job: Job, train: list[str] | None = None, held_out: list[str] | None = None) -> JobFolder:
    folder = JobFolder(root.training_jobs / "job_by_hand")
    folder.train_file.parent.mkdir(parents=True)
    folder.job_file.write_text(json.dumps({key: value for key, value in _as_written(job).items() if value is not None}))
    for file, texts in ((folder.train_file, train), (folder.eval_file, held_out)):
        if texts is not None:
            file.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return folder


def _as_written(job: Job) -> dict[str, Any]:
    settings = {key: value for key, value in structs.asdict(job.training_config).items() if value is not None}
    return structs.asdict(job) | {"training_config": settings, "lora_config": None}


def _found(root: DataRoot, folder: JobFolder) -> tuple[list[str], list[str] | None]:
    """The texts that a trainer in this folder trains on, and evaluates on."""
    rows = job_rows.found(root, folder, jobs.read_job(folder))
    return _texts(rows.train), _texts(rows.held_out) if rows.held_out else None


def _texts(source: RowSource) -> list[str]:
    return [row.text for _, row in source.rows() if isinstance(row, Text)]


def test_the_split_is_the_same_by_request_and_by_hand_wherever_the_rows_lie(root: DataRoot) -> None:
    settings = {"training_config": SPLIT, "seed": 7}
    of_texts, of_dataset = (_job(**settings, **named) for named in ({"train_texts": TEXTS}, {"dataset_name": "alone"}))
    folders = [
        _by_request(root, of_texts),
        _by_request(root, of_dataset),
        _by_hand(root, of_texts),
    ]
    splits = [_found(root, folder) for folder in folders]
    for job, train in ((of_dataset, None), (_job(**settings), TEXTS)):
        renamed = folders[2].path.rename(root.path / f"kept-{train is None}")
        splits.append(_found(root, _by_hand(root, job, train)))
        assert renamed.exists()

    trained, held_out = splits[0]
    assert all(split == splits[0] for split in splits)
    assert held_out is not None
    assert sorted(trained + held_out) == sorted(TEXTS)
    assert 3 < len(held_out) < 25


def test_held_out_files_of_a_data_set_are_evaluated_on_unless_the_job_says_otherwise(root: DataRoot) -> None:
    cases: list[tuple[dict[str, Any], list[str] | None]] = [
        ({"dataset_name": "whole"}, ["held out"]),
        ({"dataset_name": "whole", "eval_texts": []}, None),
        ({"dataset_name": "whole", "eval_texts": ["own"]}, ["own"]),
        ({"dataset_name": "whole", "eval_dataset_name": "alone"}, TEXTS),
        ({"dataset_name": "alone"}, None),
        ({"dataset_name": "alone", "eval_dataset_name": "whole"}, TEXTS),
        ({"train_texts": ["a"], "eval_dataset_name": "alone"}, TEXTS),
    ]
    for fields, expected in cases:
        job = _job(**fields)
        by_hand = _by_hand(root, job)

        assert _found(root, _by_request(root, job))[1] == _found(root, by_hand)[1] == expected, fields

        by_hand.path.rename(root.path / f"{len(list(root.path.iterdir()))}")


def test_an_asked_split_comes_before_held_out_files(root: DataRoot) -> None:
    folder = _by_request(root, _job(dataset_name="whole", training_config=SPLIT))

    assert not folder.eval_file.exists()
    assert "held out" not in (_found(root, folder)[1] or ["held out"])


def test_a_test_set_is_evaluated_on_only_where_nothing_else_is_held_out(root: DataRoot) -> None:
    (root.training_data / "whole" / "test.jsonl").write_text('{"text": "test"}\n')
    (root.training_data / "alone" / "test.jsonl").write_text('{"text": "test"}\n')

    evaluated = [training_data.held_out(root, name) for name in ("whole", "alone")]

    assert [_texts(source) for source in evaluated if source] == [["held out"], ["test"]]


@pytest.mark.parametrize(
    ("fields", "train", "held_out", "words"),
    [
        (
            {"train_texts": ["a"], "dataset_name": "whole"},
            None,
            None,
            "train_texts and dataset_name exclude each other",
        ),
        ({"eval_texts": ["a"], "eval_dataset_name": "whole"}, ["a"], None, "eval_texts and eval_dataset_name exclude"),
        ({"eval_texts": ["a"], "training_config": SPLIT}, ["a"], None, "eval_texts and validation_split exclude"),
        ({"eval_texts": ["a"]}, ["a"], ["b"], "data/eval.jsonl and eval_texts exclude each other: give one of them"),
        ({"training_config": SPLIT}, ["a"], ["b"], "data/eval.jsonl and validation_split exclude each other"),
        ({"dataset_name": "alone", "eval_dataset_name": "alone"}, None, None, "is the data set that is trained on"),
        ({"dataset_name": "alone", "eval_dataset_name": "none"}, None, None, "Dataset none not found"),
        ({}, None, ["b"], "job_by_hand/job.json: no examples: add data/train.jsonl, or train_texts in job.json"),
    ],
)
def test_rows_of_two_kinds_or_of_none_are_refused_in_words(
    root: DataRoot, fields: dict[str, Any], train: list[str] | None, held_out: list[str] | None, words: str
) -> None:
    folder = _by_hand(root, _job(**fields), train, held_out)

    with pytest.raises((ServiceError, BrokenFile), match=words):
        _found(root, folder)


def test_a_job_records_the_hash_of_the_rows_that_it_has(root: DataRoot) -> None:
    whole, split = (_by_request(root, _job(dataset_name="whole", training_config=config)) for config in ({}, SPLIT))
    rows, held_out = whole.train_file.read_bytes(), whole.eval_file.read_bytes()
    trained, evaluated = _found(root, split)

    def lines(texts: list[str]) -> bytes:
        return b"".join(b'{"text":"%s"}\n' % text.encode() for text in texts)

    for folder, expected in ((whole, (rows, held_out)), (split, (lines(trained), lines(evaluated or [])))):
        job = jobs.read_job(folder)
        assert (job.data_sha256, job.eval_sha256) == tuple(hashlib.sha256(part).hexdigest() for part in expected)


def test_a_data_set_that_is_deleted_while_a_job_takes_its_rows_is_refused_in_words(root: DataRoot) -> None:
    rows = training_data.source(root, "alone").rows()
    next(rows)

    training_data.remove(root, "alone")

    with pytest.raises(ServiceError, match=REPLACED):
        list(rows)


def test_a_data_set_that_is_replaced_before_its_rows_are_read_is_not_read_by_the_record_of_the_old_one(
    root: DataRoot, tmp_path: Path
) -> None:
    source = training_data.source(root, "alone")
    file = tmp_path / "rows.csv"
    file.write_text("question,answer\na,b\n")

    uploads.take_in(root, "alone", file, file.name, columns={"prompt": "question", "completion": "answer"})

    with pytest.raises(ServiceError, match=REPLACED):
        list(source.rows())
    assert len(list(training_data.source(root, "alone").rows())) == 1


def test_held_out_files_that_cannot_be_read_say_how_to_do_without_them(root: DataRoot) -> None:
    (root.training_data / "whole" / "eval.jsonl").write_text('{"txt": "a"}\n')
    before = list(root.training_jobs.iterdir())

    with pytest.raises(ServiceError, match=r'eval.jsonl line 1: .*To do without .* give "eval_texts": \[\]'):
        _by_request(root, _job(dataset_name="whole"))

    assert list(root.training_jobs.iterdir()) == before


def test_pairs_of_answers_to_one_prompt_are_on_one_side(root: DataRoot) -> None:
    job = _job(dataset_name="pairs", training_config=SPLIT | {"method": "dpo"})
    folder = root.training_data / "pairs"
    folder.mkdir()
    rows = [{"prompt": f"{n % 20}", "chosen": f"right {n}", "rejected": f"wrong {n}"} for n in range(60)]
    (folder / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    made = _by_request(root, job)

    found = job_rows.found(root, made, jobs.read_job(made))
    assert found.held_out is not None
    train, held_out = (
        [row.prompt for _, row in side.rows() if isinstance(row, Preference)] for side in (found.train, found.held_out)
    )
    assert (len(train) + len(held_out), bool(held_out)) == (60, True)
    assert set(train).isdisjoint(held_out)
