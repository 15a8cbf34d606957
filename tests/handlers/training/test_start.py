import hashlib
import json
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from state import safetensors
from state.safetensors import Tensor
from tests.server import MODEL, Server

TEXTS = ["### Instruction:\nAdd two numbers\n\n### Response:\ndef add(a, b):\n    return a + b"]


def _refusal(server: Server, **fields: object) -> str:
    """The error of a start request, which must have made nothing."""
    before = set((server.root / "training_jobs").iterdir())
    body = {
        name: value for name, value in ({"model_name": MODEL, "train_texts": TEXTS} | fields).items() if value != ...
    }

    reply = server.post("/training/start", body)

    assert reply.status_code == 400, reply.text
    assert list(reply.json()) == ["error"]
    assert set((server.root / "training_jobs").iterdir()) == before
    return str(reply.json()["error"])


def test_start_answers_in_the_specifications_words(queueing: Server) -> None:
    reply = queueing.post("/training/start", {"model_name": MODEL, "train_texts": TEXTS})

    job_id = reply.json()["job_id"]
    assert reply.status_code == 200
    assert reply.json() == {
        "job_id": job_id,
        "status": "submitted",
        "message": f"Training job {job_id} submitted successfully",
    }


def test_an_accepted_job_is_on_disk_before_the_answer(queueing: Server) -> None:
    job_id = queueing.start(train_texts=["a", "b"], eval_texts=["c"], description="mine", seed=7)

    folder = queueing.job_folder(job_id)
    assert (folder / "data" / "train.jsonl").read_text() == '{"text":"a"}\n{"text":"b"}\n'
    assert (folder / "data" / "eval.jsonl").read_text() == '{"text":"c"}\n'
    assert '"seed": 7' in (folder / "job.json").read_text()
    assert queueing.status(job_id)["status"] == "pending"


def test_the_specifications_own_request_is_accepted(queueing: Server) -> None:
    job_id = queueing.start(
        train_texts=TEXTS * 40,
        lora_config={"r": 4, "lora_alpha": 8, "lora_dropout": 0.05, "target_modules": ["q_proj", "v_proj"]},
        training_config={
            "num_epochs": 30,
            "batch_size": 1,
            "learning_rate": 2e-4,
            "max_steps": -1,
            "gradient_accumulation_steps": 4,
            "warmup_steps": 100,
            "logging_steps": 10,
            "save_steps": 500,
        },
        output_dir="./custom_output",
    )

    assert queueing.status(job_id)["model_name"] == MODEL


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"model_name": ...}, "model_name is required"),
        ({"train_texts": ...}, "train_texts is required"),
        ({"train_texts": "one text"}, "train_texts must be a list"),
        ({"train_texts": []}, "train_texts must hold at least one text"),
        ({"train_texts": ["fine", 3]}, "train_texts[1] must be a string"),
        ({"train_texts": ["fine", " \n"]}, "train_texts[1] must not be empty"),
        ({"eval_texts": ["fine", ""]}, "eval_texts[1] must not be empty"),
        ({"eval_texts": ["a"], "eval_dataset_name": "x"}, "eval_texts and eval_dataset_name exclude each other"),
        ({"eval_dataset_name": "unknown"}, "Dataset unknown not found"),
        ({"training_config": {"validation_split": 0}}, "validation_split must be greater than 0.0"),
        ({"training_config": {"validation_split": 1}}, "validation_split must be less than 1.0"),
        ({"training_config": {"validation_split": "0.1"}}, "training_config.validation_split must be a number"),
        ({"training_config": {"validation_split": 0.5}}, "train_texts: validation_split 0.5 with seed 42 holds out"),
        (
            {"eval_texts": [], "training_config": {"validation_split": 0.5}},
            "eval_texts and validation_split exclude each other: give one of them",
        ),
        ({"model_name": "no-such-model"}, "Model no-such-model not available"),
        ({"model_name": "codellama-7b-instruct"}, "Model codellama-7b-instruct not available"),
        ({"model_name": "nobody/nothing"}, "Model nobody/nothing not available"),
        ({"model_name": "../state"}, "Model ../state not available"),
        ({"model_nam": "x"}, "unknown field model_nam"),
        ({"lora_config": {"rank": 4}}, "unknown field lora_config.rank"),
        ({"lora_config": {"r": 0}}, "lora_config.r must be at least 1"),
        ({"lora_config": {"r": "4"}}, "lora_config.r must be an integer"),
        ({"lora_config": {"lora_dropout": 1.0}}, "lora_config.lora_dropout must be less than 1.0"),
        ({"lora_config": {"bias": "some"}}, 'lora_config.bias must not be \'some\': use "none", "all" or "lora_only"'),
        ({"lora_config": {"task_type": "SEQ_CLS"}}, "lora_config.task_type must not be 'SEQ_CLS': use \"CAUSAL_LM\""),
        ({"training_config": {"learning_rate": 0}}, "training_config.learning_rate must be greater than 0.0"),
        ({"training_config": {"max_steps": 0}}, "training_config.max_steps must be at least 1"),
        ({"training_config": {"max_steps": -2}}, "training_config.max_steps must be at least -1"),
        ({"training_config": {"warmup_steps": 9}}, "training_config.warmup_steps is 9, but the run has only 3 steps"),
        ({"training_config": {"max_seq_length": 10**6}}, "but the model's context is 2048 tokens"),
        ({"training_config": {"eval_steps": 0}}, "training_config.eval_steps must be at least 1"),
        ({"training_config": {"eval_steps": 5}}, "training_config.eval_steps needs rows to evaluate on"),
        ({"training_config": {"keep": "best"}}, 'training_config.keep "best" needs rows to evaluate on'),
        (
            {"training_config": {"early_stopping": {"patience": 1}}, "sample_prompts": ["x"]},
            "training_config.early_stopping needs rows to evaluate on, and this job has none: give eval_texts",
        ),
        ({"training_config": {"early_stopping": {}}}, "training_config.early_stopping.patience is required"),
        ({"sample_prompts": ["x"] * 9}, "sample_prompts must have at most 8 entries"),
        ({"sample_prompts": [""]}, "sample_prompts[0] must have at least 1 characters"),
        (
            {"sample_prompts": [[{"role": "usr", "content": "x"}]]},
            'sample_prompts[0][0].role must not be \'usr\': use "system", "user" or "assistant"',
        ),
        ({"sample_tokens": 513}, "sample_tokens must be at most 512"),
        ({"lora_config": {"target_modules": ["q_proj", "c_attn"]}}, "lora_config.target_modules names c_attn, which"),
        ({"lora_config": {"target_modules": "all"}}, "lora_config.target_modules must not be 'all'"),
        ({"lora_config": {"target_modules": []}}, "lora_config.target_modules must have at least 1 entries"),
        (
            {"lora_config": {"rank_pattern": {"q_prj": 8}}},
            "rank_pattern has q_prj, and no layer of tiny-python that gets",
        ),
        ({"lora_config": {"rank_pattern": {"up_proj": 8}}}, "use names of target_modules (q_proj, v_proj), or longer"),
        (
            {"lora_config": {"alpha_pattern": {"q_[": 8}}},
            "alpha_pattern has q_[, which is neither a name nor a regular",
        ),
        (
            {"lora_config": {"alpha_pattern": {"(q+)+": 8}}},
            "alpha_pattern has (q+)+, an expression that could take too",
        ),
        ({"lora_config": {"rank_pattern": {"q_proj": 0}}}, "lora_config.rank_pattern[...] must be at least 1"),
        ({"lora_config": {"modules_to_save": ["q_proj"]}}, "names q_proj, whose weights are quantized to 4 bits"),
        (
            {"lora_config": {"modules_to_save": ["wte"]}},
            "use some of embed_tokens, input_layernorm, lm_head, norm, post",
        ),
        ({"adapter_name": "../up"}, "adapter_name '../up' is not a valid name"),
        ({"adapter_name": "unload"}, "adapter_name 'unload' is reserved"),
        ({"output_dir": "../elsewhere"}, "output_dir '../elsewhere' lies outside the data root"),
        ({"output_dir": "/etc"}, "output_dir '/etc' lies outside the data root"),
        ({"output_dir": "./adapters/x"}, "output_dir './adapters/x' lies in adapters/"),
        ({"train_texts": ..., "dataset_name": "unknown"}, "Dataset unknown not found"),
        ({"dataset_name": "x"}, "train_texts and dataset_name exclude each other"),
        ({"seed": -1}, "seed must be at least 0"),
        ({"chat_template": "\n{% for m in messages %}"}, "chat_template is no valid template: line 2: Unexpected end"),
        ({"chat_template": "{{" + "(" * 9000}, "chat_template is no valid template: it is nested too deeply"),
        ({"chat_template": ""}, "chat_template must have at least 1 characters"),
        ({"chat_template": "x" * 70_000}, "chat_template must have at most 65536"),
    ],
)
def test_start_refuses_what_cannot_be_meant_and_makes_nothing(
    queueing: Server, fields: dict[str, Any], error: str
) -> None:
    assert error in _refusal(queueing, **fields)


def test_a_lone_surrogate_is_refused(queueing: Server) -> None:
    reply = queueing.http.post(
        "/training/start",
        content=rb'{"model_name": "tiny-python", "train_texts": ["\ud800"]}',
        headers={"Content-Type": "application/json"},
    )

    assert (reply.status_code, reply.json()["error"][:34]) == (400, "The request body is not valid JSON")


def test_a_taken_adapter_name_is_refused(queueing: Server) -> None:
    queueing.start(adapter_name="mine")

    assert "adapter_name 'mine' is taken" in _refusal(queueing, adapter_name="mine")


def test_an_uploaded_data_set_is_copied_into_the_job(queueing: Server) -> None:
    queueing.post("/training/data/upload", {"dataset_name": "mine", "train_texts": ["a", "b"]})

    job_id = queueing.start(train_texts=None, dataset_name="mine")

    copy = queueing.job_folder(job_id) / "data" / "train.jsonl"
    assert copy.read_text() == '{"text":"a"}\n{"text":"b"}\n'


def test_start_requests_at_once_are_all_accepted_and_a_name_goes_to_one_of_them(queueing: Server) -> None:
    replies = []

    def start() -> None:
        replies.append(
            queueing.post("/training/start", {"model_name": MODEL, "train_texts": TEXTS, "adapter_name": "one"})
        )
        replies.append(queueing.post("/training/start", {"model_name": MODEL, "train_texts": TEXTS}))

    threads = [threading.Thread(target=start) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    accepted = [reply.json()["job_id"] for reply in replies if reply.status_code == 200]
    assert len(set(accepted)) == 11
    listed = {job["job_id"] for job in queueing.get("/training/jobs").json()["jobs"]}
    assert set(accepted) <= listed


@pytest.fixture(scope="module")
def adapter(queueing: Server) -> Iterator[Path]:
    """An adapter called `before` of rank 3, with weights of one byte: nothing here loads it.

    It goes again: one process may run tests of this file twice, with others between them.
    """
    folder = queueing.root / "adapters" / "before"
    folder.mkdir()
    config = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": 3, "target_modules": ["q_proj"], "lora_alpha": 6.0}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    (folder / "adapter_model.safetensors").write_bytes(safetensors.header([("x", Tensor("U8", [1]), 1)]) + b"1")
    record = {"model_name": MODEL, "created_at": "2026-01-01T00:00:00Z"}
    (folder / "adapter.json").write_text(json.dumps(record))
    yield folder
    shutil.rmtree(folder)


def test_a_job_has_its_own_copy_of_the_adapter_that_it_goes_on_from(queueing: Server, adapter: Path) -> None:
    """And of its LoRA settings, which need not be given."""
    job_id = queueing.start(train_texts=TEXTS, init_adapter="before")

    copy = queueing.job_folder(job_id) / "init_adapter"
    job = json.loads((queueing.job_folder(job_id) / "job.json").read_text())
    weights = (adapter / "adapter_model.safetensors").read_bytes()
    assert (copy / "adapter_model.safetensors").read_bytes() == weights
    assert not (copy / "adapter_model.safetensors").samefile(adapter / "adapter_model.safetensors")
    assert json.loads((copy / "origin.json").read_text()) == {
        "name": "before",
        "sha256": hashlib.sha256(weights).hexdigest(),
    }
    assert (job["lora_config"]["r"], job["lora_config"]["target_modules"]) == (3, ["q_proj"])


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"init_adapter": "nobody"}, "init_adapter nobody is not among the adapters"),
        ({"init_adapter": "../models"}, "init_adapter ../models is not among the adapters"),
        ({"init_adapter": 3}, "init_adapter must be a string"),
        ({"lora_config": {"target_modules": ["q_proj"]}}, "lora_config.r is 4, and init_adapter before has 3"),
        (
            {"lora_config": {"r": 3, "lora_alpha": 6}},
            'target_modules is ["q_proj","v_proj"], and init_adapter before has ["q_proj"]',
        ),
    ],
)
@pytest.mark.usefixtures("adapter")
def test_an_adapter_that_cannot_be_gone_on_from_is_refused(
    queueing: Server, fields: dict[str, Any], error: str
) -> None:
    assert error in _refusal(queueing, **{"init_adapter": "before"} | fields)


@pytest.mark.parametrize(
    ("file", "content", "error"),
    [
        ("adapter.json", {"model_name": "other"}, "is an adapter of other, and model_name is tiny-python"),
        ("adapter_config.json", {"peft_type": "IA3"}, "peft_type is IA3, and only LORA is supported"),
        ("adapter_config.json", {"lora_bias": True}, "has lora_bias, which Lathe does not train"),
        ("adapter_model.safetensors", None, "adapter_model.safetensors: is cut short"),
    ],
)
def test_a_broken_adapter_is_not_gone_on_from(
    queueing: Server, adapter: Path, file: str, content: dict[str, Any] | None, error: str
) -> None:
    shutil.copytree(adapter, broken := adapter.with_name(f"broken-{len(error)}"))
    if content is None:
        (broken / file).write_bytes((broken / file).read_bytes()[:-1])
    else:
        (broken / file).write_text(json.dumps(json.loads((broken / file).read_text()) | content))

    assert error in _refusal(queueing, init_adapter=broken.name)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"training_config": {"method": "dpo"}}, "train_texts holds rows that are no preferences"),
        ({"training_config": {"method": "dpo", "learn": "all"}}, "training_config.learn does not go with"),
        ({"training_config": {"beta": 0.2}}, "training_config.beta does not go with method"),
        ({"training_config": {"loss_type": "ipo"}}, "training_config.loss_type does not go with method"),
        ({"training_config": {"method": "dpo", "beta": 0}}, "beta"),
        ({"training_config": {"method": "ppo"}}, "method"),
    ],
)
def test_what_does_not_go_with_the_method_is_refused(queueing: Server, fields: dict[str, Any], said: str) -> None:
    assert said in _refusal(queueing, **fields)
