"""Rows that are kept from training, and are trained on all the same."""

from pathlib import Path

from runtime.messages.report import HeldOut
from runtime.messages.rows import Line
from runtime.trainer.data.findings import FIRST, Findings, place
from runtime.trainer.data.repeats import Digests, Told, met
from state.errors import ServiceError
from state.row_source import RowSource
from state.rows.reading import Reading, held_out_files


class HeldOutRows:
    """The rows of a data set's own held-out files."""

    def __init__(self, source: RowSource) -> None:
        self._told = Told()
        self.files = [self._read(file, source.columns) for file in held_out_files(Path(source.path or ""))]

    def __len__(self) -> int:
        return len(self._told)

    def compare(self, trained: Told, findings: Findings) -> None:
        """Find those that say what a row to train on says, and those that ask what one asks."""
        self._compare("eval_leak", self._told.rows, trained.rows, trained, findings)
        self._compare("eval_prompt_leak", self._told.prompts, trained.prompts, trained, findings)

    def _compare(self, id_: str, held: Digests, known: Digests, trained: Told, findings: Findings) -> None:
        leaked, first = met(held, known)
        pairs = zip(leaked[:FIRST].tolist(), first[:FIRST].tolist(), strict=True)
        places = [place(self._told.line(index), same_as=trained.line(other)) for index, other in pairs]
        findings.add_all(id_, len(leaked), places)

    def _read(self, file: Path, columns: dict[str, str] | None) -> HeldOut:
        rows = Reading(file, columns=columns, skip_invalid=True)
        problem, num_rows = None, 0
        try:
            for row in rows.rows():
                num_rows += 1
                self._told.add(Line(file=row.file, line=row.line, row=row.number), row.row)
        except ServiceError as error:
            problem = str(error)
        return HeldOut(file=file.name, num_rows=num_rows, num_invalid=rows.report.bad, problem=problem)
