"""An evaluation is a folder, `evaluations/<id>/`: what several models answer to the same rows, and which is better.

    evaluation.json   what was asked; written once
    rows.jsonl        the rows: what is asked, and the reference answer; written once
    status.json       where it stands; the server writes it
    answers.jsonl     one line an answer, with its scores
    results.json      the table and the verdicts, once every answer is there
    table.md          the same for eyes

The folder appears complete. What a server that was killed has left `running`, the next one goes on with: answers that
are in answers.jsonl are not asked for again.
"""

import secrets
from collections.abc import Callable, Iterable
from pathlib import Path

from msgspec import Struct, structs

from state import clock, folders, names, stamps, store
from state.errors import BrokenFile, NotFound, ServiceError
from state.evaluation_records import UNFINISHED, Answer, Evaluation, Results, Row, State, Status
from state.root import DataRoot

_STAMPED = ("evaluation.json", "status.json", "results.json")


class EvaluationFolder(Struct, frozen=True):
    """The names inside one evaluation's folder."""

    path: Path

    @property
    def evaluation_id(self) -> str:
        return self.path.name

    @property
    def evaluation_file(self) -> Path:
        return self.path / "evaluation.json"

    @property
    def status_file(self) -> Path:
        return self.path / "status.json"

    @property
    def rows_file(self) -> Path:
        return self.path / "rows.jsonl"

    @property
    def answers_file(self) -> Path:
        return self.path / "answers.jsonl"

    @property
    def results_file(self) -> Path:
        return self.path / "results.json"

    @property
    def table_file(self) -> Path:
        return self.path / "table.md"


def create(root: DataRoot, evaluation: Evaluation, rows: Iterable[Row]) -> EvaluationFolder:
    """Make a pending evaluation's folder, whole and durable when this returns."""
    name = evaluation.models[0].name.replace(":", "-")[:70]
    target = root.evaluations / f"{name}-{evaluation.created_at:%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
    root.create()
    with folders.appearing(target) as hidden:
        building = EvaluationFolder(hidden)
        building.evaluation_file.write_bytes(store.pretty(evaluation))
        building.rows_file.write_bytes(store.lines(rows))
        building.status_file.write_bytes(store.pretty(Status()))
    return EvaluationFolder(target)


def find(root: DataRoot, evaluation_id: str) -> EvaluationFolder:
    """Raises NotFound."""
    folder = EvaluationFolder(root.evaluations / evaluation_id)
    is_one = folders.has(folder.path, folder.evaluation_file.name) and root.holds_entry(folder.path)
    if not (names.is_valid(evaluation_id) and is_one):
        raise NotFound(f"Evaluation {evaluation_id} not found")
    return folder


def all_ids(root: DataRoot) -> set[str]:
    """The name of everything in `evaluations/` that could be an evaluation's folder; `find` tells whether it is one."""
    return {name for name in folders.names_in(root.evaluations) if names.is_valid(name)}


def stamp(folder: str) -> int:
    """Another number whenever what a list says of it may be another (`state/stamps.py`): not with each answer."""
    return stamps.of(folder, _STAMPED)


def read(folder: EvaluationFolder) -> Evaluation:
    """Raises NotFound when it goes, BrokenFile."""
    try:
        evaluation = store.read(folder.evaluation_file, Evaluation)
    except FileNotFoundError as error:
        raise NotFound(f"Evaluation {folder.evaluation_id} not found") from error
    return structs.replace(evaluation, created_at=clock.aware(evaluation.created_at))


def read_status(folder: EvaluationFolder) -> Status:
    """Raises BrokenFile."""
    try:
        return store.read(folder.status_file, Status)
    except FileNotFoundError:
        return Status()


def read_rows(folder: EvaluationFolder) -> list[Row]:
    """Raises BrokenFile."""
    try:
        return list(store.read_lines(folder.rows_file, Row))
    except FileNotFoundError as error:
        raise BrokenFile(folder.rows_file, "is missing") from error


def read_answers(folder: EvaluationFolder) -> list[Answer]:
    """All answers so far. Raises BrokenFile."""
    try:
        return list(store.read_intact_lines(folder.answers_file, Answer))
    except FileNotFoundError:
        return []


def count_answers(folder: EvaluationFolder) -> int:
    """How many there are so far, of which a crash may have torn one."""
    try:
        return store.read_bytes(folder.answers_file).count(b"\n")
    except FileNotFoundError:
        return 0


def mend_answers(folder: EvaluationFolder) -> list[Answer]:
    """All answers so far, once a line that was torn by a crash is gone: what is added then has a line of its own."""
    answers = read_answers(folder)
    if answers:
        store.write_lines(folder.answers_file, answers)
    return answers


def add_answer(folder: EvaluationFolder, answer: Answer) -> None:
    store.append_line(folder.answers_file, answer)


def read_results(folder: EvaluationFolder) -> Results | None:
    """None while there are none. Raises BrokenFile."""
    try:
        return store.read(folder.results_file, Results)
    except FileNotFoundError:
        return None


def begin(folder: EvaluationFolder, message: str | None) -> Status:
    """One that has ended keeps its end."""

    def change(newest: Status) -> Status:
        if newest.status not in UNFINISHED:
            return newest
        started_at = newest.started_at or clock.now()
        return structs.replace(newest, status="running", started_at=started_at, message=message)

    return _change_status(folder, change)


def end(folder: EvaluationFolder, state: State, error_message: str | None = None) -> Status:
    """One that has ended keeps its end."""

    def change(newest: Status) -> Status:
        if newest.status not in UNFINISHED:
            return newest
        return structs.replace(newest, status=state, completed_at=clock.now(), error_message=error_message)

    return _change_status(folder, change)


def remove(folder: EvaluationFolder) -> None:
    """Remove the folder of an evaluation that has ended. Raises ServiceError while it waits or runs."""
    status = read_status(folder).status
    if status in UNFINISHED:
        raise ServiceError(f"Evaluation {folder.evaluation_id} is {status}: stop it before deleting it")
    folders.vanish(folder.path)


def _change_status(folder: EvaluationFolder, change: Callable[[Status], Status]) -> Status:
    return store.update(folder.status_file, Status, lambda newest: change(newest or Status()))
