"""Jobs that go on from another adapter."""

import json
import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest
from safetensors.torch import load_file, save_file

from runtime.messages.forecast import Question
from runtime.trainer import initial
from runtime.trainer.forecast import make_forecast
from state import initial_adapters, metrics
from state.adapters import ChatSettings
from state.config import LoraConfig
from state.errors import ServiceError
from state.jobs import Job, JobFolder, read_job
from state.root import DataRoot
from state.row_source import RowSource
from tests import jobs, toys

LORA = {"r": 3, "lora_alpha": 12, "target_modules": ["q_proj", "down_proj"], "rank_pattern": {"down_proj": 2}}


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root with a toy Qwen2, whose biases are trained, and an adapter `first` of it; not to be changed."""
    root = tmp_path_factory.mktemp("initial")
    toys.make(root / "models" / "toy", "qwen2")
    jobs.train_here(jobs.make(root, "job_first", adapter_name="first", lora_config=LORA | {"bias": "lora_only"}))
    record = root / "adapters" / "first" / "adapter.json"
    written = json.loads(record.read_text())
    record.write_text(json.dumps(written | {"chat": {"template": "{{ messages }}", "stop_tokens": ["<s>"]}}))
    return root


@pytest.fixture
def root(kept: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return shutil.copytree(kept, tmp_path / "root")


def _go_on(root: Path, name: str = "job_second", **fields: Any) -> JobFolder:
    return jobs.make(root, name, init_adapter="first", training_config={"save_steps": 3, "logging_steps": 1}, **fields)


def test_a_job_begins_where_the_adapter_ended_and_its_record_says_so(root: Path) -> None:
    folder = _go_on(root, lora_config={**LORA, "bias": "lora_only", "lora_dropout": 0.0}, adapter_name="second")

    jobs.train_here(folder)

    fresh, *_, trained = jobs.losses(JobFolder(root / "training_jobs" / "job_first"))
    first = jobs.losses(folder)[0]
    assert fresh is not None
    assert trained is not None
    assert first is not None
    assert first < (trained + fresh) / 2
    record = json.loads((root / "adapters" / "second" / "adapter.json").read_text())
    assert record["init_adapter"]["name"] == "first"
    assert len(record["init_adapter"]["sha256"]) == 64
    assert record["training_config"]["rank_pattern"] == {"down_proj": 2}
    assert (root / "adapters" / "second" / "chat_template.jinja").read_text() == "{{ messages }}"
    assert record["chat"]["stop_tokens"][0] == "<s>"


def test_what_becomes_of_the_adapter_later_does_not_change_the_job(root: Path) -> None:
    undisturbed, disturbed = _go_on(root), _go_on(root, "job_third")
    jobs.train_here(undisturbed)

    initial.place(DataRoot.at(root), disturbed, read_job(disturbed))  # as at its first start
    weights = root / "adapters" / "first" / "adapter_model.safetensors"
    save_file({name: tensor + 1 for name, tensor in load_file(weights).items()}, weights)
    jobs.train_here(disturbed)
    shutil.rmtree(root / "adapters" / "first")
    shutil.rmtree(disturbed.checkpoint(6))
    shutil.rmtree(disturbed.adapter)
    status = json.loads(disturbed.status_file.read_text())
    disturbed.status_file.write_text(json.dumps(status | {"status": "pending", "current_step": 3}))
    jobs.train_here(disturbed)

    assert jobs.weights(disturbed) == jobs.weights(undisturbed)
    assert len(metrics.read(undisturbed.metrics_file)) == 6


def test_a_plan_counts_the_parameters_of_the_adapter_that_is_gone_on_from(root: Path, tmp_path: Path) -> None:
    job = Job(model_name="toy", init_adapter="first")

    plan = make_forecast(Question(str(root), job, RowSource("train_texts", texts=jobs.TEXTS), None, str(tmp_path)))

    weights = load_file(root / "adapters" / "first" / "adapter_model.safetensors")
    assert plan.trained_parameters == sum(tensor.numel() for tensor in weights.values())


def test_the_copys_own_damage_is_refused_in_words(root: Path) -> None:
    folder = _go_on(root)
    weights = root / "adapters" / "first" / "adapter_model.safetensors"
    tensors = load_file(weights)
    tensors.pop(next(name for name in tensors if "lora_B" in name))
    save_file(tensors, weights)

    with pytest.raises(ServiceError, match=r"init_adapter/adapter_model.safetensors: lacks .*lora_B"):
        jobs.train_here(folder)


def test_modules_in_full_are_asked_for_by_the_names_that_the_first_job_gave_them(root: Path) -> None:
    """The adapter's own files have their full names."""
    first = root / "adapters" / "first"
    file = first / "adapter_config.json"
    saved = ["lm_head", "model.layers.0.input_layernorm", "model.layers.1.input_layernorm"]
    file.write_text(json.dumps(json.loads(file.read_text()) | {"modules_to_save": saved}))

    def shape(names: list[str] | None) -> LoraConfig:
        lora = LORA | {"bias": "lora_only", "modules_to_save": names}
        return initial_adapters.shape(first, "first", msgspec.convert(lora, LoraConfig), {"q_proj", "down_proj"})

    for names in (["lm_head", "input_layernorm"], saved):
        assert shape(names).modules_to_save == names
    for other in (None, ["lm_head"], ["layernorm", "lm_head"], ["lm_head", "input_layernorm", "norm"]):
        with pytest.raises(ServiceError, match=r"lora_config.modules_to_save is .*, and init_adapter first has"):
            shape(other)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"r": 8}, r"lora_config.r is 4, and init_adapter first has 8: leave lora_config out"),
        ({"lora_alpha": 2.5}, r"adapter_config.json: .*lora_alpha"),
        ({"target_modules": ".*q_proj"}, r"its target_modules has '.*q_proj', and here layers are named as"),
        ({"layers_to_transform": [0]}, r"its adapter_config.json has layers_to_transform, which Lathe does not train"),
        ({"peft_type": "IA3"}, r"peft_type is IA3, and only LORA is supported"),
    ],
)
def test_an_adapter_of_another_shape_is_refused_in_words(root: Path, change: dict[str, Any], error: str) -> None:
    file = root / "adapters" / "first" / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    folder = _go_on(root, lora_config={"target_modules": ["q_proj"]})

    with pytest.raises(ServiceError, match=error):
        jobs.train_here(folder)


def test_an_adapter_goes_on_being_asked_as_before_but_for_what_new_rows_say() -> None:
    before = ChatSettings(template="old", switches={"thinking": True, "enable_thinking": False}, stop_tokens=["a", "b"])
    now = ChatSettings(template=None, switches={"thinking": False}, stop_tokens=["c", "b"])

    assert initial.inherited_chat(before, now) == ChatSettings(
        template="old", switches={"thinking": False, "enable_thinking": False}, stop_tokens=["a", "b", "c"]
    )
