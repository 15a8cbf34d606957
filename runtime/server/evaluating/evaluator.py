"""Evaluations, one after another, beside all other requests; they outlive the server.

What an evaluation is and has come to lies in its folder. So a server that starts goes on with what the one before had
not ended, and one that is killed loses the answers under way alone.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from contextlib import suppress

from runtime.server.answering.serving import Serving
from runtime.server.evaluating.asking import Asking
from runtime.server.evaluating.results import Answers, markdown, results
from runtime.server.evaluating.warnings import warnings
from runtime.server.index import Index
from state import evaluations, store
from state.errors import ServiceError
from state.evaluation_records import UNFINISHED, Evaluation, Row, State, Status
from state.evaluations import EvaluationFolder
from state.root import DataRoot

log = logging.getLogger(__name__)

LAUNCH_S = 10.0  # how long the trainer that memory was given back for may take to begin
LOOK_S = 2.0


class Evaluator:
    """Works through the evaluations of one data root."""

    def __init__(self, root: DataRoot, index: Index, serving: Serving, trains: Callable[[], bool]) -> None:
        """`trains` tells whether a training job runs."""
        self._root = root
        self._index = index
        self._serving = serving
        self._trains = trains
        self._wake = asyncio.Event()
        self._current: EvaluationFolder | None = None
        self._asking: asyncio.Task[None] | None = None
        self._gives_way = False
        self._hopeless: set[str] = set()
        """Evaluations in whose folders nothing can be written."""

    def start(self, evaluation: Evaluation, rows: Iterable[Row]) -> EvaluationFolder:
        """Keep a new evaluation, durable when this returns: `run` works on it. For any thread. Raises OSError."""
        folder = evaluations.create(self._root, evaluation, rows)
        self._index.refresh_evaluation(folder.evaluation_id)
        return folder

    def wake(self) -> None:
        """Look again what there is to do."""
        self._wake.set()

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            self._wake.clear()
            folder = await asyncio.to_thread(self._next)
            if folder is None:
                await self._wake.wait()
            else:
                await self._work_on(folder)

    async def stop(self, folder: EvaluationFolder) -> None:
        """Have an evaluation end as it is. Raises ServiceError for one that has ended."""
        status = await asyncio.to_thread(evaluations.read_status, folder)
        if status.status not in UNFINISHED:
            raise ServiceError(f"Evaluation {folder.evaluation_id} is {status.status} already")
        await asyncio.to_thread(self._end, folder, "cancelled")
        if folder == self._current:
            await self._interrupt()

    async def make_way(self) -> None:
        """Give up the answers under way; they are asked for again when no job trains any more."""
        if self._asking is not None:
            self._gives_way = True
            await self._interrupt()

    async def _interrupt(self) -> None:
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.wait([self._asking])

    def _next(self) -> EvaluationFolder | None:
        """The oldest that has not ended. It costs what those are, however many have ended."""
        for listed in self._index.unfinished_evaluations():
            entry = self._index.refresh_evaluation(listed.evaluation_id)
            if entry is not None and entry.is_unfinished and entry.evaluation_id not in self._hopeless:
                return entry.folder
        return None

    async def _work_on(self, folder: EvaluationFolder) -> None:
        self._current = folder
        self._asking = asyncio.create_task(self._evaluate(folder))
        try:
            await asyncio.wait([self._asking])
        finally:
            self._asking.cancel()
            with suppress(asyncio.CancelledError):
                await self._asking
            self._asking = self._current = None
        if self._gives_way:
            self._gives_way = False
            await self._wait_for_trainings(folder)

    async def _wait_for_trainings(self, folder: EvaluationFolder) -> None:
        message = "A training job needs the memory: goes on when no job trains any more"
        with suppress(OSError, ServiceError):  # its folder was removed, or cannot be written to: the next look tells
            await asyncio.to_thread(self._begin, folder, message)
        deadline = time.monotonic() + LAUNCH_S
        while self._trains() or time.monotonic() < deadline:  # noqa: ASYNC110  as the queue looks for living trainers
            await asyncio.sleep(LOOK_S)

    async def _evaluate(self, folder: EvaluationFolder) -> None:
        """Whatever is wrong is this evaluation's problem, told in its status."""
        try:
            await self._answer_and_compare(folder)
        except (OSError, ServiceError) as error:
            await asyncio.to_thread(self._fail, folder, str(error))
        except Exception as error:
            log.exception("Evaluation %s failed", folder.evaluation_id)
            await asyncio.to_thread(self._fail, folder, f"{type(error).__name__}: {error}")

    def _fail(self, folder: EvaluationFolder, why: str) -> None:
        try:
            self._end(folder, "failed", why)
        except (OSError, ServiceError):  # its folder was removed, or cannot be written to
            self._hopeless.add(folder.evaluation_id)
            log.warning("Evaluation %s is given up: %s", folder.evaluation_id, why)

    async def _answer_and_compare(self, folder: EvaluationFolder) -> None:
        evaluation = await asyncio.to_thread(evaluations.read, folder)
        rows = await asyncio.to_thread(evaluations.read_rows, folder)
        known = await asyncio.to_thread(evaluations.mend_answers, folder)
        was = await asyncio.to_thread(evaluations.read_status, folder)
        went_on = f"Went on after {len(known)} of {evaluation.num_answers} answers" if was.status == "running" else None
        if (await asyncio.to_thread(self._begin, folder, went_on)).status != "running":
            return  # stopped just now
        answers: Answers = {(answer.row, answer.model): answer for answer in known}
        await Asking(self._serving, folder, evaluation, rows, answers).ask()
        await asyncio.to_thread(self._conclude, folder, evaluation, rows, answers)

    def _conclude(self, folder: EvaluationFolder, evaluation: Evaluation, rows: list[Row], answers: Answers) -> None:
        found = results(evaluation, answers, warnings(self._root, evaluation, rows, answers))
        store.write(folder.results_file, found)
        folder.table_file.write_text(markdown(evaluation, found))
        self._end(folder, "completed")

    def _begin(self, folder: EvaluationFolder, message: str | None) -> Status:
        status = evaluations.begin(folder, message)
        self._index.refresh_evaluation(folder.evaluation_id)
        return status

    def _end(self, folder: EvaluationFolder, state: State, error_message: str | None = None) -> None:
        evaluations.end(folder, state, error_message)
        self._index.refresh_evaluation(folder.evaluation_id)
