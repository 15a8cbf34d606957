"""Training, tested by its numbers."""

import json
import math
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from runtime.inference.engine import Engine
from runtime.model.bases import quantization
from runtime.model.device import pick
from runtime.trainer import publish, recipe
from runtime.trainer.optimizer import learning_rate_at
from runtime.trainer.progress import Step
from runtime.trainer.run import Run, compute_gradients
from state import adapter_places, metrics
from state.errors import ServiceError
from state.root import DataRoot
from tests import completing, jobs, toys


def test_a_run_learns_and_publishes_an_adapter_in_pefts_layout(root: Path) -> None:
    folder = jobs.make(root, adapter_name="mine", description="Numbers", training_config={"num_epochs": 8})

    jobs.train_here(folder)

    first, *_, last = jobs.losses(folder)
    assert first is not None
    assert last is not None
    assert last < first - 0.3
    published = root / "adapters" / "mine"
    assert {"adapter_config.json", "adapter_model.safetensors", "README.md", "adapter.json"} == {
        path.name for path in published.iterdir()
    }
    record = json.loads((published / "adapter.json").read_text())
    assert (record["model_name"], record["description"], record["job_id"]) == ("toy", "Numbers", "toy")
    assert record["metrics"]["final_loss"] == last
    assert record["training_config"]["warmup_steps"] == 2
    status = jobs.status(folder)
    assert (status.status, status.progress, status.current_step) == ("completed", 100.0, 24)
    assert (published / "adapter_model.safetensors").samefile(folder.adapter / "adapter_model.safetensors")


def test_the_curve_has_the_first_and_the_last_step_and_every_logging_step(root: Path) -> None:
    folder = jobs.make(root, training_config={"max_steps": 8, "logging_steps": 3})

    jobs.train_here(folder)

    points = metrics.read(folder.metrics_file)
    assert [point.step for point in points] == [1, 3, 6, 8]
    assert [point.epoch for point in points] == [0.3333, 1.0, 2.0, 2.6667]
    assert all(point.grad_norm and point.tokens and point.tokens_per_second and point.memory_mb for point in points)


def test_checkpoints_lie_at_save_steps_and_at_the_end(root: Path) -> None:
    folder = jobs.make(root, training_config={"max_steps": 5, "save_steps": 2, "save_total_limit": 3})

    jobs.train_here(folder)

    assert {path.name for path in folder.checkpoints.iterdir()} == {"step-2", "step-4", "step-5"}
    assert (folder.checkpoints / "step-2" / "adapter" / "adapter_config.json").exists()


def test_accumulated_gradients_equal_a_larger_batch(root: Path) -> None:
    shared = {"num_epochs": 2, "logging_steps": 1}
    lora = {"lora_dropout": 0.0}
    large = jobs.make(
        root,
        "large",
        lora_config=lora,
        training_config=shared | {"batch_size": 4, "gradient_accumulation_steps": 1},
    )
    small = jobs.make(
        root,
        "small",
        lora_config=lora,
        training_config=shared | {"batch_size": 1, "gradient_accumulation_steps": 4},
    )

    jobs.train_here(large)
    jobs.train_here(small)

    assert jobs.losses(small) == pytest.approx(jobs.losses(large), abs=0.01)


def test_the_seed_decides_the_result(root: Path) -> None:
    first, again, other = (jobs.make(root, name, seed=seed) for name, seed in [("a", 1), ("b", 1), ("c", 2)])

    for folder in (first, again, other):
        jobs.train_here(folder)

    assert jobs.weights(again) == jobs.weights(first)
    assert jobs.weights(other) != jobs.weights(first)


def test_every_setting_of_the_reference_reaches_the_training(root: Path) -> None:
    folder = jobs.make(
        root,
        lora_config={"r": 3, "lora_alpha": 5, "lora_dropout": 0.25, "target_modules": ["k_proj", "down_proj"]},
        training_config={"max_steps": 4, "warmup_steps": 2, "logging_steps": 1, "max_seq_length": 9, "batch_size": 3},
    )

    jobs.train_here(folder)

    config = json.loads((folder.adapter / "adapter_config.json").read_text())
    assert (config["r"], config["lora_alpha"], config["lora_dropout"]) == (3, 5, 0.25)
    assert set(config["target_modules"]) == {"k_proj", "down_proj"}
    assert (config["bias"], config["task_type"]) == ("none", "CAUSAL_LM")
    points = metrics.read(folder.metrics_file)
    assert [point.learning_rate for point in points] == pytest.approx([0.005, 0.01, 0.01, 0.005])
    assert [point.tokens for point in points] == [6 * 8] * 4  # 3 x 2 examples, each cut to 9 tokens: 8 to predict
    tensors = load_file(folder.adapter / "adapter_model.safetensors")
    assert {tuple(tensor.shape) for name, tensor in tensors.items() if "lora_A" in name} == {(3, 64), (3, 128)}
    assert sum("lora_A" in name for name in tensors) == 4


@pytest.mark.parametrize(("bias", "trained"), [("none", 0), ("lora_only", 4), ("all", 6)])
def test_bias_decides_which_biases_are_trained(tmp_path: Path, bias: str, trained: int) -> None:
    toys.make(tmp_path / "models" / "toy", "qwen2")  # 2 layers with biases on q_proj, k_proj and v_proj
    folder = jobs.make(tmp_path, lora_config={"bias": bias, "target_modules": ["q_proj", "v_proj"]})

    jobs.train_here(folder)

    tensors = load_file(folder.adapter / "adapter_model.safetensors")
    biases = [tensor for name, tensor in tensors.items() if name.endswith(".bias")]
    assert len(biases) == trained
    assert all(tensor.abs().sum() > 0 for tensor in biases)  # the toy's are zero before


def test_a_diverged_training_fails_by_its_step_and_leaves_readable_files(root: Path) -> None:
    broken = root / "models" / "toy"
    tensors = load_file(broken / "model.safetensors")
    tensors["model.norm.weight"].fill_(math.nan)
    save_file(tensors, broken / "model.safetensors", metadata={"format": "pt"})
    folder = jobs.make(root)

    with pytest.raises(ServiceError, match=r"diverged: at step 1 the loss is nan.*Lower learning_rate"):
        jobs.train_here(folder)

    assert jobs.status(folder).current_loss is None
    assert not folder.adapter.exists()


def test_output_dir_gets_the_adapter_too(root: Path) -> None:
    folder = jobs.make(root, adapter_name="mine", output_dir="./out")

    jobs.train_here(folder)

    assert (root / "out" / "mine" / "adapter_model.safetensors").read_bytes() == jobs.weights(folder)


def test_links_in_a_circle_beside_it_hold_up_no_publication(root: Path) -> None:
    folder = jobs.make(root, adapter_name="beside-a-circle", training_config={"max_steps": 1})
    for parent in ("adapters", "training_jobs"):
        (root / parent / "circle").symlink_to("circle")

    jobs.train_here(folder)

    assert (root / "adapters" / "beside-a-circle" / "adapter_config.json").exists()


class _Killed(BaseException):
    pass


def _kill(*_: object) -> None:
    raise _Killed


def test_a_run_that_is_killed_while_it_publishes_publishes_the_same_adapter_without_another_step(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = jobs.make(root, adapter_name="mine", output_dir="./out")
    steps: list[int] = []

    def counted(run: Run, step: int) -> Step:
        steps.append(step)
        return compute_gradients(run, step)

    monkeypatch.setattr(recipe, "compute_gradients", counted)

    for module, part in ((publish, "_model_card"), (adapter_places, "link_into")):
        with monkeypatch.context() as killing:
            killing.setattr(module, part, _kill)
            with pytest.raises(_Killed):
                jobs.train_here(folder)
        assert folder.publishing.exists()  # for this the server lets a stop wait
    (folder.path / ".adapter.new").mkdir()  # which a kill leaves behind
    jobs.train_here(folder)

    assert steps == list(range(6))
    assert jobs.status(folder).status == "completed"
    assert (root / "out" / "mine" / "adapter_model.safetensors").read_bytes() == jobs.weights(folder)
    assert not folder.publishing.exists()


def test_a_name_that_was_taken_meanwhile_gets_a_number_behind_it(root: Path) -> None:
    folder = jobs.make(root, adapter_name="mine")
    (root / "adapters" / "mine").mkdir(parents=True)

    jobs.train_here(folder)

    assert jobs.status(folder).adapter_name == "mine-2"
    assert list((root / "adapters" / "mine").iterdir()) == []


def test_a_job_without_its_status_begins_anew_and_takes_its_own_name_again(root: Path) -> None:
    folder = jobs.make(root, adapter_name="mine")
    jobs.train_here(folder)
    before = jobs.weights(folder)

    folder.status_file.unlink()
    job = json.loads(folder.job_file.read_text())
    folder.job_file.write_text(json.dumps(job | {"seed": 7}))
    jobs.train_here(folder)

    assert jobs.weights(folder) != before
    assert jobs.status(folder).adapter_name == "mine"
    assert (root / "adapters" / "mine" / "adapter_model.safetensors").read_bytes() == jobs.weights(folder)


def test_the_rate_warms_up_linearly_and_falls_to_zero() -> None:
    rates = [learning_rate_at(step, peak=1.0, warmup_steps=2, total_steps=6) for step in range(6)]

    assert rates == pytest.approx([0.5, 1.0, 1.0, 0.75, 0.5, 0.25])


def test_the_adapter_gives_the_same_logits_outside_of_lathe(root: Path, toy: Path) -> None:
    """Trained by Lathe, loaded by plain transformers and peft as the model card says, in the same quantization."""
    folder = jobs.make(root, training_config={"num_epochs": 6})
    jobs.train_here(folder)
    tokens_1T = torch.tensor([[5, 100, 200, 300, 7]])

    setup = pick()
    base = AutoModelForCausalLM.from_pretrained(
        str(toy), quantization_config=quantization(setup.torch_dtype), dtype=setup.torch_dtype
    )
    alone_1TV = base.eval()(tokens_1T).logits
    outside_1TV = PeftModel.from_pretrained(base, str(folder.adapter)).eval()(tokens_1T).logits
    inside = completing.complete(
        Engine(DataRoot.at(root).quantized_bases),
        toy,
        folder.adapter,
        prompt=tokens_1T[0].tolist(),
        max_new_tokens=1,
        top_logprobs=20,
    )

    likely, alone = (
        logits_1TV[0, -1].float().log_softmax(0).topk(20).values for logits_1TV in (outside_1TV, alone_1TV)
    )
    found = completing.likely(inside)
    assert found == pytest.approx(likely.tolist(), abs=1e-2)  # a bf16 logit's last bit or two
    assert found != pytest.approx(alone.tolist(), abs=1e-1)


def test_a_job_in_float32_trains_in_float32(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    usual = jobs.make(root, "job_usual", adapter_name="usual")
    exact = jobs.make(root, "job_exact", adapter_name="exact", training_config={"precision": "float32"})

    with caplog.at_level("INFO"):
        jobs.train_here(exact)
    jobs.train_here(usual)

    assert "float32: asked for" in caplog.text
    assert jobs.losses(exact) == pytest.approx(jobs.losses(usual), rel=0.02)
    assert jobs.weights(exact) != jobs.weights(usual) or not pick().dtype.startswith("bf")
