"""Jobs as OpenAI's own client starts them."""

import json
import shutil
from pathlib import Path
from typing import Any

import openai
import pytest
from safetensors.torch import load_file, save_file

from state import jobs
from state.jobs import JobFolder
from tests.server import MODEL, Server

ANSWERS = [{"role": "assistant", "content": "Yes."}], [{"role": "assistant", "content": "No."}]
PAIRS = [
    {
        "input": {"messages": [{"role": "user", "content": f"{n}?"}]},
        "preferred_output": ANSWERS[0],
        "non_preferred_output": ANSWERS[1],
    }
    for n in range(3)
]


def _lines(rows: list[Any]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def _job(server: Server, shown: str) -> jobs.Job:
    return jobs.read_job(JobFolder(server.job_folder(shown.removeprefix("ftjob-"))))


def _folders(server: Server) -> list[str]:
    return sorted(path.name for path in (server.root / "training_jobs").iterdir())


def test_a_job_is_an_ordinary_job_folder(waiting: openai.OpenAI, queueing: Server, chats: str) -> None:
    made = waiting.fine_tuning.jobs.create(
        model=MODEL,
        training_file=chats,
        validation_file=chats,
        suffix="my demo",
        seed=7,
        metadata={"team": "blue"},
        method={
            "type": "supervised",
            "supervised": {
                "hyperparameters": {"n_epochs": 2, "batch_size": 4, "learning_rate_multiplier": 0.3},
            },
        },
        extra_body={"lathe": {"lora_config": {"r": 16}, "training_config": {"max_seq_length": 128}}},
    )

    job = _job(queueing, made.id)
    settings = job.training_config
    assert (job.model_name, job.dataset_name, job.eval_dataset_name, job.seed) == (MODEL, chats, chats, 7)
    assert (settings.num_epochs, settings.batch_size, settings.gradient_accumulation_steps) == (2, 4, 1)
    assert settings.learning_rate == pytest.approx(6e-5)
    assert (settings.max_seq_length, job.lora.r) == (128, 16)
    assert job.data_sha256 == job.eval_sha256
    folder = JobFolder(queueing.job_folder(made.id.removeprefix("ftjob-")))
    assert jobs.adapter_name(folder, job) == f"{MODEL}-my-demo-{folder.job_id[:8]}"
    assert queueing.status(folder.job_id)["status"] == "pending"

    shown = made.to_dict()
    lathe = shown.pop("lathe")
    assert isinstance(lathe, dict)
    assert (lathe["job_id"], lathe["status"]) == (folder.job_id, "pending")
    assert shown == {
        "id": f"ftjob-{folder.job_id}",
        "object": "fine_tuning.job",
        "model": MODEL,
        "created_at": made.created_at,
        "finished_at": None,
        "estimated_finish": None,
        "fine_tuned_model": None,
        "organization_id": "org-local",
        "result_files": [],
        "status": "queued",
        "training_file": chats,
        "validation_file": chats,
        "hyperparameters": {"n_epochs": 2, "batch_size": 4, "learning_rate_multiplier": 0.3},
        "method": {
            "type": "supervised",
            "supervised": {"hyperparameters": {"n_epochs": 2, "batch_size": 4, "learning_rate_multiplier": 0.3}},
            "dpo": None,
        },
        "trained_tokens": None,
        "error": None,
        "seed": 7,
        "integrations": [],
        "metadata": {"team": "blue"},
        "user_provided_suffix": "my demo",
    }
    assert waiting.fine_tuning.jobs.retrieve(made.id) == made


def test_auto_becomes_the_methods_defaults(waiting: openai.OpenAI, queueing: Server, chats: str) -> None:
    plain = waiting.fine_tuning.jobs.create(model=MODEL, training_file=chats)
    older = waiting.fine_tuning.jobs.create(
        model=MODEL, training_file=chats, hyperparameters={"n_epochs": 5, "batch_size": "auto"}
    )
    pairs = waiting.files.create(file=("pairs.jsonl", _lines(PAIRS)), purpose="fine-tune").id
    preferring = waiting.fine_tuning.jobs.create(
        model=MODEL,
        training_file=pairs,
        method={"type": "dpo", "dpo": {"hyperparameters": {"beta": 0.3, "n_epochs": "auto"}}},
    )

    assert plain.hyperparameters.to_dict() == {"n_epochs": 3, "batch_size": 4, "learning_rate_multiplier": 1.0}
    assert older.hyperparameters.n_epochs == 5
    assert preferring.method is not None
    assert preferring.method.dpo is not None
    assert preferring.method.dpo.to_dict() == {
        "hyperparameters": {"n_epochs": 3, "batch_size": 4, "learning_rate_multiplier": 1.0, "beta": 0.3}
    }
    settings = _job(queueing, preferring.id).training_config
    assert (settings.method, settings.beta, settings.learning_rate) == ("dpo", 0.3, 2e-5)


def test_an_adapters_name_goes_on_from_that_adapter(
    waiting: openai.OpenAI, queueing: Server, chats: str, toy: Path, trained: Path
) -> None:
    if not (queueing.root / "adapters" / "further").exists():
        shutil.copytree(toy, queueing.root / "models" / "toy")
        shutil.copytree(trained, queueing.root / "adapters" / "further")

    made = waiting.fine_tuning.jobs.create(model="further", training_file=chats)

    job = _job(queueing, made.id)
    assert (job.model_name, job.init_adapter, made.model) == ("toy", "further", "further")
    shutil.rmtree(queueing.root / "adapters" / "further")
    shutil.rmtree(queueing.root / "models" / "toy")


def test_a_checkpoints_name_goes_on_from_that_checkpoint(
    waiting: openai.OpenAI, queueing: Server, chats: str, toy: Path, trained: Path
) -> None:
    """With the weights of its step, asked as the finished adapter is."""
    models, adapters = queueing.root / "models", queueing.root / "adapters"
    shutil.copytree(toy, models / "toy")
    shutil.copytree(trained, adapters / "finished")
    record = json.loads((trained / "adapter.json").read_text())
    (adapters / "finished" / "adapter.json").write_text(json.dumps(record | {"job_id": "first"}))
    (adapters / "finished" / "chat_template.jinja").write_text("{{ messages }}")
    first = JobFolder(queueing.job_folder("first"))
    shutil.copytree(trained, first.epoch(4), ignore=shutil.ignore_patterns("adapter.json"))
    weights = load_file(trained / "adapter_model.safetensors")
    save_file({name: tensor / 2 for name, tensor in weights.items()}, first.epoch(4) / "adapter_model.safetensors")
    first.job_file.write_text(json.dumps({"model_name": "toy"}))
    first.status_file.write_text(json.dumps({"status": "completed", "adapter_name": "finished"}))
    checkpoint = "finished:ckpt-step-4"

    made = waiting.fine_tuning.jobs.create(model=checkpoint, training_file=chats)

    job, copied = _job(queueing, made.id), JobFolder(queueing.job_folder(made.id.removeprefix("ftjob-"))).init_adapter
    assert (job.model_name, job.init_adapter, made.model) == ("toy", checkpoint, checkpoint)
    assert (copied / "adapter_model.safetensors").read_bytes() == (
        first.epoch(4) / "adapter_model.safetensors"
    ).read_bytes()
    assert (copied / "chat_template.jinja").read_text() == "{{ messages }}"
    assert json.loads((copied / "origin.json").read_text())["name"] == checkpoint
    assert queueing.get(f"/adapters/{checkpoint}").json()["name"] == checkpoint
    with pytest.raises(openai.BadRequestError, match="Model finished:ckpt-step-5 not available"):
        waiting.fine_tuning.jobs.create(model="finished:ckpt-step-5", training_file=chats)
    for folder in (models / "toy", adapters / "finished", first.path):
        shutil.rmtree(folder)


def test_a_request_that_is_sent_again_finds_the_job_that_it_made(waiting: openai.OpenAI, chats: str) -> None:
    asked: dict[str, Any] = {"model": MODEL, "training_file": chats, "metadata": {"try": "once"}}
    repeated = {"x-stainless-retry-count": "1"}
    first = waiting.fine_tuning.jobs.create(**asked)

    again = waiting.fine_tuning.jobs.create(**asked, extra_headers=repeated)
    asked_anew = waiting.fine_tuning.jobs.create(**asked)
    other = waiting.fine_tuning.jobs.create(**asked | {"seed": 9}, extra_headers=repeated)

    assert again == first
    assert len({first.id, asked_anew.id, other.id}) == 3


@pytest.mark.parametrize(
    ("fields", "sentence", "param", "code"),
    [
        ({"model": "gpt-4.1"}, "Model gpt-4.1 not available", "model", "model_not_found"),
        ({"training_file": "file-gone"}, "No such File object: file-gone", "training_file", "invalid_training_file"),
        ({"validation_file": "nothing"}, "Dataset nothing not found", "validation_file", "invalid_validation_file"),
        ({"method": {"type": "reinforcement"}}, '"reinforcement" is not trained here: use', "method", None),
        ({"method": {"type": "dpo"}}, "holds rows that are no preferences", "training_file", "invalid_training_file"),
        ({"integrations": [{"type": "wandb"}]}, "integrations[0].wandb is required", "integrations[0].wandb", None),
        ({"hyperparameters": {"beta": 0.1}}, 'beta goes with method "dpo" alone', "hyperparameters", None),
        ({"hyperparameters": {"learning_rate_multiplier": 1e6}}, "must be at most 5000", "hyperparameters", None),
        (
            {"lathe": {"training_config": {"method": "dpo"}}},
            "training_config.method is what the request's",
            "lathe",
            None,
        ),
        ({"lathe": {"training_config": {"epochs": 2}}}, "unknown field epochs", "lathe", None),
        ({"lathe": {"colour": "red"}}, "unknown field lathe.colour", "lathe.colour", None),
        ({"suffix": "x" * 65}, "suffix must have at most 64 characters", "suffix", None),
        ({"suffix": "x", "lathe": {"adapter_name": "y"}}, "exclude each other", "suffix", None),
    ],
)
def test_what_cannot_be_is_refused_in_openais_shape_and_makes_nothing(
    waiting: openai.OpenAI,
    queueing: Server,
    chats: str,
    fields: dict[str, Any],
    sentence: str,
    param: str | None,
    code: str | None,
) -> None:
    before = _folders(queueing)

    with pytest.raises(openai.BadRequestError) as refused:
        waiting.post("/fine_tuning/jobs", body={"model": MODEL, "training_file": chats} | fields, cast_to=object)

    assert sentence in refused.value.message
    assert (refused.value.param, refused.value.code) == (param, code)
    assert _folders(queueing) == before


def test_a_file_with_wrong_rows_is_refused_by_its_lines(waiting: openai.OpenAI, queueing: Server) -> None:
    wrong = waiting.files.create(
        file=_lines([{"messages": [{"role": "humann", "content": "Hi"}]}]), purpose="fine-tune"
    )
    before = _folders(queueing)

    with pytest.raises(openai.BadRequestError, match="line 1, messages") as refused:
        waiting.fine_tuning.jobs.create(model=MODEL, training_file=wrong.id)

    assert (refused.value.param, refused.value.code) == ("training_file", "invalid_training_file")
    assert _folders(queueing) == before
