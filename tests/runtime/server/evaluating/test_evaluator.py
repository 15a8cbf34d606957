"""Evaluations give way to trainings, and answers that cannot be had are told. Who answers is a stand-in."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, cast

import pytest
from msgspec import structs

from runtime.messages.inference import Generated, SamplingParameters
from runtime.server.answering.serving import Answering, Serving
from runtime.server.answering.worker import Prompt
from runtime.server.evaluating import evaluator
from runtime.server.evaluating.evaluator import Evaluator
from runtime.server.index import Index
from runtime.server.processes import ProcessDied
from state import clock, evaluations, folders, store
from state.errors import Busy, NotFound, ServiceError
from state.evaluation_records import UNFINISHED, Asked, Evaluation, Row, Status
from state.evaluations import EvaluationFolder
from state.graders import StringCheck
from state.root import DataRoot

ROWS = [Row(row=number, line=number, prompt=f"question {number}", reference="yes") for number in range(1, 41)]
GRADER = StringCheck(name="exact", input="{{sample.output_text}}", reference="{{item.reference}}", operation="eq")

Answers = Callable[[str, str], Any]
"""What a model says to a prompt, or how long it takes; or it raises."""


class StandIn:
    def __init__(self, answer: Answers) -> None:
        self._answer = answer
        self.asked: list[tuple[str, str]] = []
        self.under_way = 0

    def answering(self, name: str) -> Answering:
        return Answering(name, None)

    async def complete(
        self, answering: Answering, prompts: Sequence[tuple[Prompt, SamplingParameters]]
    ) -> list[Generated]:
        prompt = str(prompts[0][0])
        self.asked.append((answering.name, prompt))
        self.under_way += 1
        try:
            text = await self._answer(answering.name, prompt)
        finally:
            self.under_way -= 1
        return [Generated(text, 1, 1, "stop")]


def _asked(rows: list[Row] = ROWS) -> Evaluation:
    return Evaluation(
        created_at=clock.now(),
        models=[Asked(name="own", model_name="base"), Asked(name="base", model_name="base")],
        rows="a test's",
        num_rows=len(rows),
        graders=[GRADER],
        max_tokens=8,
    )


def _create(root: DataRoot, rows: list[Row] = ROWS) -> EvaluationFolder:
    root.create()
    return evaluations.create(root, _asked(rows), rows)


def _read(root: DataRoot) -> Index:
    index = Index(root)
    for evaluation_id in index.evaluation_ids():
        index.refresh_evaluation(evaluation_id)
    return index


async def _until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110  the condition is a file's
        await asyncio.sleep(0.001)


def _evaluate(root: DataRoot, folder: EvaluationFolder, answer: Answers) -> Status:
    async def scenario() -> None:
        own = Evaluator(root, _read(root), cast("Serving", StandIn(answer)), lambda: False)
        working = asyncio.create_task(own.run())
        await _until(lambda: evaluations.read_status(folder).status not in UNFINISHED)
        working.cancel()

    asyncio.run(scenario())
    return evaluations.read_status(folder)


def test_it_gives_way_to_a_training_and_then_asks_for_what_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluator, "LAUNCH_S", 0.0)
    monkeypatch.setattr(evaluator, "LOOK_S", 0.001)
    root = DataRoot.at(tmp_path)
    folder = _create(root)
    is_training, may_answer = False, 20

    async def answer(_: str, prompt: str) -> str:
        if int(prompt.split()[1]) > may_answer:
            await asyncio.Event().wait()
        return "yes"

    async def scenario() -> None:
        nonlocal is_training, may_answer
        serving = StandIn(answer)
        own = Evaluator(root, _read(root), cast("Serving", serving), lambda: is_training)
        working = asyncio.create_task(own.run())
        await _until(lambda: evaluations.count_answers(folder) == 40 and serving.under_way > 0)

        is_training = True
        await own.make_way()
        assert serving.under_way == 0
        before = len(serving.asked)
        await _until(lambda: "A training job" in (evaluations.read_status(folder).message or ""))
        await asyncio.sleep(0.05)
        assert len(serving.asked) == before

        is_training, may_answer = False, 40
        await _until(lambda: evaluations.read_status(folder).status == "completed")
        assert len(serving.asked) == before + 40
        working.cancel()

    asyncio.run(scenario())
    assert evaluations.read_status(folder).message == "Went on after 40 of 80 answers"
    assert len({(one.row, one.model) for one in evaluations.read_answers(folder)}) == 80


def test_an_evaluation_that_is_removed_while_it_gives_way_ends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluator, "LAUNCH_S", 0.0)
    root = DataRoot.at(tmp_path)
    gone = _create(root)

    async def answer(*_: str) -> str:
        if gone.path.exists():
            await asyncio.Event().wait()
        return "yes"

    async def scenario() -> None:
        serving = StandIn(answer)
        own = Evaluator(root, _read(root), cast("Serving", serving), lambda: False)
        working = asyncio.create_task(own.run())
        await _until(lambda: serving.under_way > 0)
        folders.vanish(gone.path)
        await own.make_way()

        last = own.start(_asked(), ROWS)
        own.wake()
        await _until(lambda: working.done() or evaluations.read_status(last).status == "completed")
        working.cancel()
        with pytest.raises(asyncio.CancelledError):
            await working

    asyncio.run(scenario())


def test_a_row_that_cannot_be_answered_is_left_out_and_a_busy_moment_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runtime.server.evaluating.asking.BUSY_S", 0.0)
    root = DataRoot.at(tmp_path)
    folder = _create(root)
    failed: set[tuple[str, str]] = set()

    async def answer(name: str, prompt: str) -> str:
        if prompt in {"question 3", "question 4"}:
            raise ServiceError("the prompt is too long")
        if (name, prompt) not in failed:
            failed.add((name, prompt))
            raise ProcessDied("died") if prompt == "question 5" else Busy("busy")
        return "yes" if name == "own" else "no"

    status = _evaluate(root, folder, answer)

    results = evaluations.read_results(folder)
    assert (status.status, status.error_message) == ("completed", None)
    assert results is not None
    assert (results.verdicts[0].verdict, results.verdicts[0].num_rows) == ("better", 38)
    assert "own could not answer 2 of 40 rows: the prompt is too long" in results.warnings


@pytest.mark.parametrize(
    ("problem", "words"),
    [
        (ServiceError("no memory for the base"), "cannot answer: no memory for the base"),
        (ProcessDied("The inference worker died"), "The inference worker died"),
    ],
)
def test_a_model_that_answers_nothing_fails_the_evaluation_in_words(
    tmp_path: Path, problem: ServiceError, words: str
) -> None:
    root = DataRoot.at(tmp_path)
    folder = _create(root)
    asked = 0

    async def answer(*_: str) -> str:
        nonlocal asked
        asked += 1
        raise problem

    status = _evaluate(root, folder, answer)

    assert status.status == "failed"
    assert words in (status.error_message or "")
    assert asked < len(ROWS) + 16


def test_another_adapter_of_the_name_is_not_taken_for_the_one_that_was_asked(tmp_path: Path) -> None:
    root = DataRoot.at(tmp_path)
    folder = _create(root, ROWS[:1])
    evaluation = evaluations.read(folder)
    own = structs.replace(evaluation.models[0], fingerprint=(("adapter_model.safetensors", 1, 1),))
    changed = structs.replace(evaluation, models=[own, evaluation.models[1]])
    folder.evaluation_file.write_bytes(store.pretty(changed))

    async def answer(*_: str) -> str:
        return "yes"

    status = _evaluate(root, folder, answer)

    assert (status.status, status.error_message) == (
        "failed",
        "own changed while it was evaluated: evaluate it again",
    )


def test_an_evaluation_whose_folder_goes_or_cannot_be_written_to_is_given_up_and_the_next_one_is_worked_on(
    tmp_path: Path,
) -> None:
    root = DataRoot.at(tmp_path)
    stuck, gone, last = _create(root), _create(root), _create(root)
    (stuck.path / "status.json.lock").mkdir()
    by_hand = structs.replace(evaluations.read(gone), created_at=datetime(2026, 1, 1))  # noqa: DTZ001  with no zone
    gone.evaluation_file.write_bytes(store.pretty(by_hand))

    async def answer(*_: str) -> str:
        if gone.path.exists():
            folders.vanish(gone.path)
        return "yes"

    assert _evaluate(root, last, answer).status == "completed"
    assert evaluations.read_status(stuck).status == "pending"
    with pytest.raises(NotFound):
        evaluations.find(root, gone.evaluation_id)


def test_old_evaluations_are_read_no_more_to_list_them_or_to_find_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = DataRoot.at(tmp_path)
    for _ in range(20):
        evaluations.end(_create(root, ROWS[:1]), "cancelled")
    index = _read(root)
    own = Evaluator(root, index, cast("Serving", None), lambda: False)
    looked_at: list[str] = []

    def looks(function: Callable[..., Any]) -> Callable[..., Any]:
        def look(path: object, *arguments: Any) -> Any:
            looked_at.append(str(path))
            return function(path, *arguments)

        return look

    for module, name in ((store, "read"), (folders, "names_in"), (folders, "has"), (evaluations, "stamp")):
        monkeypatch.setattr(module, name, looks(getattr(module, name)))

    assert len(index.evaluations("own")) == 20
    assert own._next() is None
    assert looked_at == []
    waiting = own.start(_asked(ROWS[:1]), ROWS[:1])
    looked_at.clear()
    assert own._next() == waiting
    assert len(index.evaluations()) == 21
    assert all(waiting.evaluation_id in path for path in looked_at)
    assert looked_at
