"""POST /api/adapters/{adapter_name}/evaluate: whether an adapter is better than what one had.

An adapter is trained for real, on questions of one kind; others of that kind were held out. The server that evaluates
it is killed on the way, and all tests ask the next one.
"""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct

from tests import jobs
from tests.server import CHECKOUT, MODEL, PATIENCE_S, Server, wait_until

STARTS = {
    "type": "string_check",
    "name": "starts",
    "operation": "like",
    "input": "{{sample.output_text}}",
    "reference": "la la",
}
ON_TOPIC = STARTS | {"input": "{{sample.output_text}} {{item.topic}}"}
MULTI = {"type": "multi", "graders": {"starts": STARTS}, "calculate_output": "starts / 2"}
ENDED = {"completed", "failed", "cancelled"}
NUM_ROWS = 8
NUM_BEFORE = 3  # answers that the first server writes down
ANSWER = " la la la, this is it"


class Survivor(Struct):
    """The server after a killed one, with the evaluation that it has gone on with."""

    server: Server
    page: list[str]
    """The commands of docs/evaluating.md, for this server and evaluation: start, show, answers."""
    evaluation_id: str
    answered_before: list[bytes]
    """Lines of answers.jsonl that were there when the first server was killed."""
    found: dict[str, Any]


@pytest.fixture(scope="module")
def survivor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Survivor]:
    root = tmp_path_factory.mktemp("evaluating")
    _train(root)
    server = Server(root, "--slots", "0", wrapper=[sys.executable, "-m", "tests.dying_server", str(NUM_BEFORE)])
    start, show, read = _commands()
    evaluation_id = _run(server, start)["evaluation_id"]
    answers = root / "evaluations" / evaluation_id / "answers.jsonl"
    server.process.wait(PATIENCE_S)
    server.kill()
    before = answers.read_bytes().splitlines(keepends=True)
    with answers.open("ab") as torn:
        torn.write(b'{"row":')

    server = Server(root, "--slots", "0")
    found = _wait_for_end(server, evaluation_id)
    page = [command.replace("EVALUATION_ID", evaluation_id) for command in (start, show, read)]
    yield Survivor(server, page, evaluation_id, before, found)
    server.close()


def _train(root: Path) -> None:
    job = jobs.make(
        root,
        "job_fluent",
        model_name=MODEL,
        adapter_name="fluent",
        lora_config={"r": 16, "target_modules": "all-linear"},
        training_config={"max_steps": 12, "batch_size": 4, "gradient_accumulation_steps": 1},
    )
    job.train_file.write_text(_lines(range(8)))
    job.eval_file.write_text(_lines(range(20, 20 + NUM_ROWS)))
    jobs.train_here(job)


def _lines(numbers: range) -> str:
    return "".join(json.dumps({"prompt": f"Name number {n}.", "completion": ANSWER}) + "\n" for n in numbers)


def _commands() -> list[str]:
    page = (CHECKOUT / "docs" / "evaluating.md").read_text()
    blocks = re.findall(r"```bash\n(curl .*?)```", page, flags=re.DOTALL)
    found = [line for block in blocks for line in block.splitlines() if "/evaluat" in line]
    return [line.replace("my-first", "fluent") for line in found]


def _run(server: Server, command: str) -> dict[str, Any]:
    command = command.replace("localhost:5001", f"localhost:{server.port}")
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout))


def _wait_for_end(server: Server, evaluation_id: str) -> dict[str, Any]:
    wait_until(lambda: server.get(f"/evaluations/{evaluation_id}").json()["status"] in ENDED, "the evaluation ends")
    return dict(server.get(f"/evaluations/{evaluation_id}").json())


def _evaluate(server: Server, adapter_name: str = "fluent", **request: object) -> dict[str, Any]:
    reply = server.post(f"/adapters/{adapter_name}/evaluate", request)
    assert reply.status_code == 200, reply.text
    return dict(reply.json())


def test_a_killed_server_loses_no_answer_and_the_next_one_asks_for_the_rest(survivor: Survivor) -> None:
    folder = survivor.server.root / "evaluations" / survivor.evaluation_id
    lines = (folder / "answers.jsonl").read_bytes().splitlines(keepends=True)

    assert lines[:NUM_BEFORE] == survivor.answered_before
    asked = [(answer["row"], answer["model"]) for answer in map(json.loads, lines)]
    assert sorted(asked) == [(row, name) for row in range(1, NUM_ROWS + 1) for name in ("fluent", MODEL)]
    assert survivor.found["message"] == f"Went on after {NUM_BEFORE} of {2 * NUM_ROWS} answers"
    readme = (CHECKOUT / "evaluations" / "README.md").read_text()
    documented = re.findall(r"^\| `([^`]+)` \|", readme, flags=re.MULTILINE)
    assert {path.name for path in folder.iterdir() if path.suffix != ".lock"} == set(documented) - {"*.lock"}


def test_an_adapter_that_is_better_is_called_so_with_the_interval(survivor: Survivor) -> None:
    found = _run(survivor.server, survivor.page[1])
    answered = _run(survivor.server, survivor.page[2])

    assert found == survivor.found
    assert (found["status"], found["against"], found["progress"]) == ("completed", [MODEL], 100)
    assert found["rows"] == "the job that made fluent, eval.jsonl"
    assert [(each["grader"], each["verdict"]) for each in found["verdicts"]] == [
        ("likeness", "better"),
        ("exact", "better"),
    ]
    likeness = found["verdicts"][0]
    own, other = (row["scores"]["likeness"] for row in found["table"])
    assert likeness["difference"] == pytest.approx(own - other)
    assert 0 < likeness["low"] <= likeness["difference"] <= likeness["high"] <= 1
    assert found["verdict"].startswith(f"fluent is better than {MODEL} by likeness: 1.000 against 0.")
    table = (survivor.server.root / found["path"] / "table.md").read_text()
    assert found["verdict"] in table
    assert re.search(rf"^\| {MODEL} \| {NUM_ROWS} \|", table, flags=re.MULTILINE)

    first = answered["rows"][0]
    assert (first["prompt"], first["reference"], answered["total"]) == ("Name number 20.", ANSWER, NUM_ROWS)
    assert [answer["model"] for answer in first["answers"]] == ["fluent", MODEL]
    assert first["answers"][0]["text"] == ANSWER
    assert first["answers"][0]["scores"] == {"likeness": 1, "exact": 1}


def test_where_nothing_differs_it_cannot_tell_and_says_what_was_trained_on(survivor: Survivor) -> None:
    server = survivor.server
    shutil.copytree(server.root / "adapters" / "fluent", server.root / "adapters" / ".again.new")
    (server.root / "adapters" / ".again.new").rename(server.root / "adapters" / "again")
    questions = [{"prompt": f"Name number {number}.", "completion": "la"} for number in range(6)]
    chat = [{"role": "user", "content": "Name number 9."}, {"role": "assistant", "content": "la"}]
    rows = [*questions, {"messages": chat}]

    begun = _evaluate(server, against=["again"], rows=rows, graders=[STARTS, MULTI], max_tokens=8)
    found = _wait_for_end(server, begun["evaluation_id"])
    answered = server.get(f"/evaluations/{begun['evaluation_id']}/answers").json()["rows"]

    assert found["verdict"].startswith("Cannot tell whether fluent is better than again by starts: the scores are the ")
    assert [row["num_answers"] for row in found["table"]] == [7, 7]
    assert answered[0]["answers"][0]["scores"] == {"starts": 1.0, "multi": 0.5}
    own, other = answered[6]["answers"]
    assert answered[6]["prompt"] == chat[:1]
    assert own["text"] == other["text"] != ""
    assert found["warnings"][0].startswith("fluent was trained on 6 of the 7 questions")


def test_an_evaluation_leaves_room_for_others_and_is_stopped_listed_and_deleted(
    survivor: Survivor, endless: Path, trained: Path
) -> None:
    """One whose answers would take hours: nothing but its stop ends it."""
    server = survivor.server
    shutil.copytree(endless, server.root / "models" / "endless")
    hidden = shutil.copytree(trained, server.root / "adapters" / ".tireless.new")
    record = json.loads((hidden / "adapter.json").read_text())
    (hidden / "adapter.json").write_text(json.dumps(record | {"model_name": "endless"}))
    hidden.rename(hidden.with_name("tireless"))
    questions = [{"prompt": f"def f{number}(", "completion": "x"} for number in range(40)]

    begun = _evaluate(server, "tireless", rows=questions, max_tokens=100_000)
    path = f"/evaluations/{begun['evaluation_id']}"
    wait_until(lambda: server.get(path).json()["status"] == "running", "it runs")
    waiting = _evaluate(server, "tireless", rows=questions[:1])["evaluation_id"]
    answer = server.post("/generate", {"prompt": "x", "model_name": "endless", "max_new_tokens": 1})
    refused = server.delete(path)
    stopped = server.post(f"/evaluations/{waiting}/stop"), server.post(f"{path}/stop")

    assert (answer.status_code, refused.status_code) == (200, 400)
    assert [reply.status_code for reply in stopped] == [200, 200]
    now = server.get(path).json()
    assert (now["status"], now["verdict"]) == ("cancelled", None)
    assert now["progress"] < 100
    assert server.post(f"{path}/stop").json()["error"].endswith("is cancelled already")
    of_this, every = (
        [one["evaluation_id"] for one in server.get(f"/evaluations{query}").json()["evaluations"]]
        for query in ("?adapter_name=tireless", "")
    )
    assert of_this == every[:2] == [waiting, begun["evaluation_id"]]
    assert every[-1] == survivor.evaluation_id
    assert server.delete(path).status_code == 200
    assert server.get(path).status_code == 404


def test_a_file_that_cannot_be_read_is_that_evaluations_problem(survivor: Survivor) -> None:
    evaluations = survivor.server.root / "evaluations"
    (evaluations / "broken").mkdir()
    (evaluations / "broken" / "evaluation.json").write_text("{oops")
    for name, file, field in (("edited", "evaluation.json", "models"), ("verdictless", "results.json", "verdicts")):
        hidden = shutil.copytree(evaluations / survivor.evaluation_id, evaluations / f".{name}.new")
        (hidden / file).write_text(json.dumps(json.loads((hidden / file).read_text()) | {field: []}))
        hidden.rename(evaluations / name)  # whole: half a file would be another problem

    def listed() -> dict[str, str | None]:
        return {
            one["evaluation_id"]: one["problem"] for one in survivor.server.get("/evaluations").json()["evaluations"]
        }

    wait_until(lambda: all(listed().get(name) for name in ("broken", "edited", "verdictless")), "they are listed")
    problems = listed()
    assert "broken/evaluation.json" in (problems["broken"] or "")
    assert problems["edited"] == "edited/evaluation.json: Expected `array` of length >= 2 - at `$.models`"
    assert problems["verdictless"] == "verdictless/results.json: Expected `array` of length >= 1 - at `$.verdicts`"
    assert problems[survivor.evaluation_id] is None
    for name in ("broken", "edited", "verdictless"):
        assert survivor.server.get(f"/evaluations/{name}").status_code == 400
        shutil.rmtree(evaluations / name)


def test_rows_that_cannot_be_asked_are_counted(survivor: Survivor) -> None:
    user, told = {"role": "user", "content": "hi"}, {"role": "tool", "content": "4", "tool_call_id": "1"}
    call = {"id": "1", "type": "function", "function": {"name": "add", "arguments": "{}"}}
    rows = [
        {"text": "some text"},
        {"messages": [user, {"role": "assistant", "content": "ho"}]},
        {"messages": [user, {"role": "assistant", "tool_calls": [call]}, told, {"role": "assistant", "content": "4"}]},
        {"prompt": "2 + 2", "chosen": "4", "rejected": "5"},
    ]

    begun = _evaluate(survivor.server, rows=rows, max_rows=1)
    survivor.server.post(f"/evaluations/{begun['evaluation_id']}/stop")

    assert begun["num_rows"] == 1
    assert begun["num_left_out"] == {"texts, which ask nothing": 1, "rows with tools": 1}


def test_a_data_sets_held_out_files_are_asked(survivor: Survivor) -> None:
    folder = survivor.server.root / "training_data" / "questions"
    folder.mkdir()
    (folder / "train.jsonl").write_text(_lines(range(3)))
    with_topic = '{"topic": "songs", "prompt"'
    (folder / "eval-a.jsonl").write_text(_lines(range(4, 6)).replace('{"prompt"', with_topic))
    (folder / "eval-b.jsonl").write_text(_lines(range(6, 7)).replace('{"prompt"', with_topic))

    begun = _evaluate(survivor.server, dataset_name="questions", graders=[MULTI | {"graders": {"starts": ON_TOPIC}}])
    survivor.server.post(f"/evaluations/{begun['evaluation_id']}/stop")

    rows = survivor.server.get(f"/evaluations/{begun['evaluation_id']}/answers").json()["rows"]
    assert begun["rows"] == "data set questions (held out)"
    assert [(row["row"], row["line"], row["prompt"]) for row in rows] == [
        (1, 1, "Name number 4."),
        (2, 2, "Name number 5."),
        (3, 1, "Name number 6."),
    ]


def test_what_cannot_be_evaluated_is_refused_in_words(survivor: Survivor) -> None:
    item = {"type": "string_check", "name": "a", "operation": "eq", "input": "{{item.x}}", "reference": ""}
    cases: list[tuple[dict[str, object], str]] = [
        ({"dataset_name": "none"}, "Dataset none not found"),
        ({"dataset_name": "none", "rows": [{"text": "a"}]}, "exclude each other"),
        ({"rows": [{"text": "a"}]}, "no row can be asked (1 texts, which ask nothing)"),
        ({"rows": [{"question": "a"}]}, "rows[0]: no format has the keys"),
        ({"against": ["fluent"]}, "name it once"),
        ({"against": ["unknown"]}, "unknown"),
        ({"graders": [{"type": "python"}]}, "runs no code of requests"),
        ({"graders": [item]}, "grader 'a': there is no item.x"),
        ({"graders": [item, item]}, "give each a name of its own"),
    ]

    for request, words in cases:
        reply = survivor.server.post("/adapters/fluent/evaluate", request)
        assert reply.status_code == 400
        assert words in reply.json()["error"]


def test_an_adapter_without_rows_of_its_own_needs_some(survivor: Survivor) -> None:
    copy = survivor.server.root / "adapters" / ".elsewhere.new"
    shutil.copytree(survivor.server.root / "adapters" / "fluent", copy)
    (copy / "adapter.json").unlink()
    copy.rename(copy.with_name("elsewhere"))

    reply = survivor.server.post("/adapters/elsewhere/evaluate", {})

    assert reply.status_code == 400
    assert reply.json()["error"].startswith("elsewhere was made by no job that is still here: name a data set")
    assert survivor.server.post("/adapters/unknown/evaluate", {}).status_code == 404
