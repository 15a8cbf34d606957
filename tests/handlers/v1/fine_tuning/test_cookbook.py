"""The steps of OpenAI's cookbook for fine-tuning chat models, by a script that says nothing of Lathe.

Its model is OpenAI's, its server and key come from the environment, as the client reads them.
"""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.server import Server, wait_until

OPENAIS = "gpt-4o-mini-2024-07-18"
SYSTEM = "You are a helpful recipe assistant. You are to extract the generic ingredients from each of the recipes."
RECIPES = {
    "Toast": ["bread", "butter"],
    "Porridge": ["oats", "milk"],
    "Salad": ["lettuce", "oil"],
    "Soup": ["water", "leek"],
    "Omelette": ["eggs", "cheese"],
    "Lemonade": ["lemon", "sugar"],
}
KEYS = {"role", "content", "name", "function_call", "tool_calls", "weight"}
ROLES = {"system", "user", "assistant", "function", "tool"}


def _conversation(title: str, ingredients: list[str]) -> dict[str, Any]:
    listed = ", ".join(f"1 cup of {one}" for one in ingredients)
    return {
        "messages": [
            {"role": "system", "content": SYSTEM},
            {"role": "user", "content": f"Title: {title}\n\nIngredients: {listed}\n\nGeneric ingredients: "},
            {"role": "assistant", "content": json.dumps(ingredients)},
        ]
    }


def _written(file: Path, conversations: list[Any]) -> Path:
    file.write_text("".join(json.dumps(one) + "\n" for one in conversations))
    return file


def _format_errors(file: Path) -> Counter[str]:
    """What is wrong with a file's rows, by the cookbook's names for it."""
    found: Counter[str] = Counter()
    for row in map(json.loads, file.read_text().splitlines()):
        if not isinstance(row, dict):
            found["data_type"] += 1
        elif not row.get("messages"):
            found["missing_messages_list"] += 1
        else:
            messages = row["messages"]
            found["message_missing_key"] += sum(not {"role", "content"} <= message.keys() for message in messages)
            found["message_unrecognized_key"] += sum(bool(message.keys() - KEYS) for message in messages)
            found["unrecognized_role"] += sum(message.get("role") not in ROLES for message in messages)
            found["missing_content"] += sum(not isinstance(message.get("content"), str) for message in messages)
            roles = {message.get("role") for message in messages}
            found["example_missing_assistant_message"] += "assistant" not in roles
    return +found


def _tokens(server: Server, row: dict[str, Any]) -> tuple[int, int]:
    """Of a conversation, and of its answers."""

    def count(**asked: Any) -> int:
        url = f"http://localhost:{server.port}/tokenize"
        return int(server.http.post(url, json={"model": OPENAIS, **asked}).json()["count"])

    answers = [message["content"] for message in row["messages"] if message["role"] == "assistant"]
    return count(messages=row["messages"]), sum(count(prompt=answer, add_special_tokens=False) for answer in answers)


def test_the_cookbooks_steps_lead_from_recipes_to_a_model_that_answers(
    training: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    aliases = training.root / "models" / "aliases.json"
    aliases.write_text(json.dumps({OPENAIS: "toy"}))
    monkeypatch.setenv("OPENAI_BASE_URL", f"http://localhost:{training.port}/v1")
    monkeypatch.setenv("OPENAI_API_KEY", "none")

    rows = [_conversation(*recipe) for recipe in RECIPES.items()]
    train, valid = _written(tmp_path / "train.jsonl", rows[:4]), _written(tmp_path / "valid.jsonl", rows[4:])
    assert not _format_errors(train)
    counts = [_tokens(training, row) for row in rows[:4]]
    assert all(answers < tokens < 256 for tokens, answers in counts)  # the toy's context

    with openai.OpenAI() as client:
        files = [client.files.create(file=file, purpose="fine-tune") for file in (train, valid)]
        job = client.fine_tuning.jobs.create(
            training_file=files[0].id, validation_file=files[1].id, model=OPENAIS, suffix="recipe-ner"
        )
        assert job.status in {"queued", "running"}
        assert (job.model, job.hyperparameters.n_epochs) == (OPENAIS, 3)
        wait_until(
            lambda: client.fine_tuning.jobs.retrieve(job.id).status not in {"queued", "running"}, "the job has ended"
        )
        job = client.fine_tuning.jobs.retrieve(job.id)
        assert job.status == "succeeded", job.error
        told = [event.message for event in reversed(client.fine_tuning.jobs.list_events(job.id).data)]
        assert told[0].startswith("Created fine-tuning job")
        assert told[-1] == "The job has successfully completed"
        assert job.fine_tuned_model is not None
        assert job.fine_tuned_model.startswith(f"{OPENAIS}-recipe-ner-")
        assert (job.trained_tokens or 0) >= 3 * sum(answers for _, answers in counts)
        answer = client.chat.completions.create(
            model=job.fine_tuned_model, messages=rows[5]["messages"][:2], temperature=0, max_tokens=8
        )

    assert answer.model == job.fine_tuned_model
    assert answer.usage is not None
    assert answer.usage.prompt_tokens < _tokens(training, rows[5])[0]
    aliases.unlink()


def test_what_the_cookbooks_check_finds_the_server_refuses_by_its_line(training: Server, tmp_path: Path) -> None:
    wrong: dict[str, Any] = {
        "data_type": ["no", "object"],
        "missing_messages_list": {"text": 1},
        "message_missing_key": {"messages": [{"content": "a"}, {"role": "assistant", "content": "b"}]},
        "unrecognized_role": {"messages": [{"role": "usr", "content": "a"}, {"role": "assistant", "content": "b"}]},
        "missing_content": {"messages": [{"role": "user", "content": None}, {"role": "assistant", "content": "b"}]},
        "example_missing_assistant_message": {"messages": [{"role": "user", "content": "a"}]},
    }
    with openai.OpenAI(base_url=f"http://localhost:{training.port}/v1", api_key="none") as client:
        for name, row in wrong.items():
            file = _written(tmp_path / f"{name}.jsonl", [_conversation("Toast", ["bread"]), row])
            assert name in _format_errors(file)
            kept = client.files.create(file=file, purpose="fine-tune")
            assert kept.status == "error", name
            assert "line 2" in (kept.model_dump()["status_details"] or ""), name


def test_preferences_are_trained_from_end_to_end(training: Server, tmp_path: Path) -> None:
    pairs = [
        {
            "input": {"messages": [{"role": "user", "content": f"{n} + 1?"}]},
            "preferred_output": [{"role": "assistant", "content": f"It is {n + 1}."}],
            "non_preferred_output": [{"role": "assistant", "content": "Who knows?"}],
        }
        for n in range(4)
    ]
    file = _written(tmp_path / "pairs.jsonl", pairs)
    with openai.OpenAI(base_url=f"http://localhost:{training.port}/v1", api_key="none") as client:
        kept = client.files.create(file=file, purpose="fine-tune")
        job = client.fine_tuning.jobs.create(
            model="toy",
            training_file=kept.id,
            validation_file=kept.id,
            method={"type": "dpo", "dpo": {"hyperparameters": {"n_epochs": 2, "batch_size": 2, "beta": 0.2}}},
        )
        training.wait_for(job.id.removeprefix("ftjob-"), "completed")
        job = client.fine_tuning.jobs.retrieve(job.id)
        figures = [event.data for event in client.fine_tuning.jobs.list_events(job.id) if event.type == "metrics"]
        checkpoints = list(client.fine_tuning.jobs.checkpoints.list(job.id))
        answered = [
            client.chat.completions.create(
                model=one.fine_tuned_model_checkpoint, messages=[{"role": "user", "content": "1?"}], max_tokens=2
            ).model
            for one in checkpoints
        ]

    assert (job.status, job.method and job.method.type, job.method and job.method.supervised) == (
        *("succeeded", "dpo", None),
    )
    assert job.method is not None
    assert job.method.dpo is not None
    assert job.method.dpo.hyperparameters is not None
    assert job.method.dpo.hyperparameters.to_dict() == {
        "n_epochs": 2,
        "batch_size": 2,
        "learning_rate_multiplier": 1.0,
        "beta": 0.2,
    }
    first: Any = figures[-1]
    assert first["train_loss"] == pytest.approx(0.6931, abs=1e-3)
    assert {"rewards_accuracies", "rewards_margins"} <= first.keys()
    assert [one.step_number for one in checkpoints] == [4, 2]
    assert answered == [f"{job.fine_tuned_model}", f"{job.fine_tuned_model}:ckpt-step-2"]
