"""POST /api/training/data/upload: keep training data under a name, for jobs to come.

The body is JSON with texts; or a file of rows as it is, or in a form, which is written to the disk as it comes.
"""

import asyncio
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import msgspec
from litestar import Request, post
from litestar.di import NamedDependency
from litestar.exceptions import HTTPException
from litestar.openapi.spec import OpenAPIFormat, OpenAPIMediaType, OpenAPIType, Operation, RequestBody, Schema
from litestar.params import FromQuery
from msgspec import Struct

from handlers._http.bodies import decoded, pieces
from handlers._http.received_file import FORM, receive
from runtime.server.service import Service
from state import training_data, uploads
from state.errors import ServiceError
from state.root import DataRoot
from state.rows.problems import Problem
from state.rows.reading import Report
from state.training_data import Dataset

FILES = {
    "application/jsonl": ".jsonl",
    "application/x-ndjson": ".jsonl",
    "text/csv": ".csv",
    "application/vnd.apache.parquet": ".parquet",
    "application/octet-stream": None,
}
"""How a body that is a file may be announced, and as what it is read unless `file_name` says more."""
Split = Literal["train", "eval"]
"""What a file is for: training, or evaluation."""
FIELDS = ("dataset_name", "columns", "skip_invalid", "split")
"""What a form may say beside its file."""


class UploadRequest(Struct, forbid_unknown_fields=True):
    """A data set of the same name is replaced; left out, the name is made from the time."""

    train_texts: list[str]
    eval_texts: list[str] | None = None
    dataset_name: str | None = None


class UploadReply(Struct):
    """`num_texts` are the rows that can be used; `problems` are the first of those that cannot."""

    dataset_name: str
    num_texts: int
    status: str
    message: str
    format: str | None
    num_skipped: int
    problems: list[Problem]


@dataclass
class UploadOperation(Operation):
    """Says in the OpenAPI description that the body may be any of these."""

    def __post_init__(self) -> None:
        text = Schema(type=OpenAPIType.STRING)
        file = Schema(type=OpenAPIType.STRING, format=OpenAPIFormat.BINARY)
        texts = Schema(type=OpenAPIType.ARRAY, items=text, min_items=1)
        named = Schema(
            type=OpenAPIType.OBJECT,
            properties={"train_texts": texts, "eval_texts": texts, "dataset_name": text},
            required=["train_texts"],
            additional_properties=False,
        )
        split = Schema(type=OpenAPIType.STRING, enum=list(get_args(Split)))
        form = Schema(
            type=OpenAPIType.OBJECT,
            properties={
                "file": file,
                "dataset_name": text,
                "columns": text,
                "skip_invalid": Schema(type=OpenAPIType.BOOLEAN),
                "split": split,
            },
            required=["file"],
            additional_properties=False,
        )
        content = {"application/json": OpenAPIMediaType(named), FORM: OpenAPIMediaType(form)}
        self.request_body = RequestBody(content=content | dict.fromkeys(FILES, OpenAPIMediaType(file)), required=True)


@post(
    "/training/data/upload",
    status_code=200,
    opt={"action": "upload training data"},
    operation_class=UploadOperation,
    request_max_body_size=None,  # a file may be as large as the disk has room for
)
async def upload(  # noqa: PLR0913, PLR0917  its query parameters
    request: Request[Any, Any, Any],
    service: NamedDependency[Service],
    dataset_name: FromQuery[str | None] = None,
    file_name: FromQuery[str | None] = None,
    columns: FromQuery[str | None] = None,
    skip_invalid: FromQuery[bool] = False,  # noqa: FBT002  a query's
    split: FromQuery[Split] = "train",
) -> UploadReply:
    kind = request.content_type[0]
    if kind == "application/json" and split != "train":
        raise ServiceError("split is for files: beside train_texts, send eval_texts")
    said = Said(dataset_name, file_name, _columns(columns), skip_invalid, split)
    await asyncio.to_thread(said.check, service.root)  # before the body comes, which may take hours
    if kind in FILES or kind == FORM:
        return await _from_file(request, service, said)
    if kind == "application/json":
        body = b"".join([piece async for piece in pieces(request, _most_json(request))])
        data = decoded(request, UploadRequest, body)
        name = data.dataset_name or dataset_name
        dataset = await asyncio.to_thread(uploads.save, service.root, name, data.train_texts, data.eval_texts)
        return _reply(dataset, Report())
    known = ", ".join(["application/json", FORM, *FILES])
    raise HTTPException(f"Send texts as JSON, or a file of rows, with its Content-Type: {known}", status_code=415)


class Said(Struct):
    """What a request says of its file, beside the file."""

    dataset_name: str | None
    file_name: str | None
    columns: dict[str, str] | None
    skip_invalid: bool
    split: Split

    def check(self, root: DataRoot) -> None:
        """Raise ServiceError for what no file could be taken in with."""
        uploads.check(root, self.dataset_name, self.file_name, self.columns)
        if self.split == "eval":
            if self.columns is not None or self.skip_invalid:
                raise ServiceError(
                    "columns and skip_invalid are those of the data set, of whose rows these are: leave them out"
                )
            if self.dataset_name is not None:
                training_data.source(root, self.dataset_name)

    def check_name(self) -> str | None:
        """The data set's name. Raises ServiceError where there must be one."""
        if self.split == "eval" and self.dataset_name is None:
            raise ServiceError("dataset_name is required: which data set are these rows of?")
        return self.dataset_name

    def with_fields(self, fields: dict[str, str]) -> "Said":
        """With what a form says: it comes before the query. Raises ServiceError for what it cannot say."""
        unknown = [name for name in fields if name not in FIELDS]
        if unknown:
            raise ServiceError(f"unknown field {', '.join(unknown)}: there is file, {', '.join(FIELDS)}")
        split = fields.get("split", self.split)
        if split not in {"train", "eval"}:
            raise ServiceError(f"split must not be {split!r}: use train or eval")
        return Said(
            fields.get("dataset_name", self.dataset_name),
            self.file_name,
            _columns(fields["columns"]) if "columns" in fields else self.columns,
            _yes_or_no("skip_invalid", fields["skip_invalid"]) if "skip_invalid" in fields else self.skip_invalid,
            "eval" if split == "eval" else "train",
        )


async def _from_file(request: Request[Any, Any, Any], service: Service, said: Said) -> UploadReply:
    kind = request.content_type[0]
    name = said.file_name or (None if kind == FORM else _default_name(kind))
    if kind != FORM:
        said.check_name()
    with uploads.receiving(service.root) as file:
        received = await receive(request, file, shutil.disk_usage(file.parent).free)
        return await asyncio.to_thread(
            _take_in, service.root, file, name or received.name or "", said.with_fields(received.fields)
        )


def _take_in(root: DataRoot, file: Path, file_name: str, said: Said) -> UploadReply:
    said.check(root)
    dataset_name = said.check_name()
    if said.split == "eval" and dataset_name is not None:
        return _reply_held_out(dataset_name, uploads.take_in_held_out(root, dataset_name, file, file_name))
    dataset, report = uploads.take_in(
        root, dataset_name, file, file_name, columns=said.columns, skip_invalid=said.skip_invalid
    )
    return _reply(dataset, report)


def _columns(text: str | None) -> dict[str, str] | None:
    if text is None:
        return None
    try:
        return msgspec.json.decode(text, type=dict[str, str])
    except msgspec.DecodeError:
        raise ServiceError(
            'columns must be JSON that says which column is which key: {"prompt": "question", "completion": "answer"}'
        ) from None


def _yes_or_no(name: str, text: str) -> bool:
    try:
        return msgspec.convert(text, bool, strict=False)  # as a query's
    except msgspec.ValidationError:
        raise ServiceError(f"{name} must be true or false, but is {text!r}") from None


def _most_json(request: Request[Any, Any, Any]) -> int:
    """The limit of bodies that are held in memory, in bytes: the server's own."""
    limit = request.app.request_max_body_size
    return limit if isinstance(limit, int) else 0


def _default_name(kind: str) -> str:
    ending = FILES.get(kind)
    if ending is None:
        raise ServiceError("file_name is required: POST /api/training/data/upload?file_name=rows.jsonl")
    return f"rows{ending}"


def _reply(dataset: Dataset, report: Report) -> UploadReply:
    what = "texts" if dataset.format == "text" else "rows"
    return UploadReply(
        dataset_name=dataset.dataset_name,
        num_texts=dataset.num_texts,
        status="uploaded",
        message=f"Training data uploaded successfully with {dataset.num_texts} {what}",
        format=dataset.format,
        num_skipped=dataset.num_skipped,
        problems=report.problems,
    )


def _reply_held_out(dataset_name: str, report: Report) -> UploadReply:
    return UploadReply(
        dataset_name=dataset_name,
        num_texts=report.used,
        status="uploaded",
        message=f"Evaluation data uploaded successfully with {report.used} rows",
        format=report.files[0].format,
        num_skipped=report.bad,
        problems=report.problems,
    )
