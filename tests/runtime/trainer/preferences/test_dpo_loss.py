"""DPO's loss, gradient and figures are those of TRL's DPOTrainer on the same rows, behind the same adapter.

TRL (https://github.com/huggingface/trl) is no dependency of the project: `pip install trl` for the test that runs it.
What it says is written down here, of TRL 1.16.0.
"""

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from runtime.trainer import lora
from runtime.trainer.preferences.dpo_loss import figures, measure
from state.config import LossType
from tests import preferences

FIGURES = {
    "rewards/chosen": -1.1531214714050293,
    "rewards/rejected": -1.1707432270050049,
    "rewards/accuracies": 0.3333333432674408,
    "rewards/margins": 0.017621705308556557,
    "logps/chosen": -39.915557861328125,
    "logps/rejected": -51.50810241699219,
}
TRL: dict[LossType, dict[str, float]] = {
    "sigmoid": FIGURES | {"loss": 0.7179384827613831, "grad_norm": 3.4700238704681396},
    "ipo": FIGURES | {"loss": 33.22379684448242, "grad_norm": 132.91299438476562},
}


def _ours(folder: Path, loss_type: LossType) -> dict[str, float]:
    model = preferences.adapted()
    rows = preferences.tokenized(folder, *preferences.ROWS)
    return preferences.named(*preferences.step(model, preferences.preferences(model, rows, loss_type)))


@pytest.mark.parametrize("loss_type", ["sigmoid", "ipo"])
def test_a_step_is_trls(tmp_path: Path, loss_type: LossType) -> None:
    assert _ours(tmp_path, loss_type) == pytest.approx(TRL[loss_type], rel=1e-4)


@pytest.mark.filterwarnings("ignore")  # TRL's and transformers' own
@pytest.mark.parametrize("loss_type", ["sigmoid", "ipo"])
def test_what_is_written_down_of_trl_is_what_it_says(tmp_path: Path, loss_type: LossType) -> None:
    trl = pytest.importorskip("trl", reason="TRL is not installed")
    peft, datasets = pytest.importorskip("peft"), pytest.importorskip("datasets")
    tokenizer = preferences.tokenizer().tokenizer
    # TRL would learn what the template writes behind the end of an answer, which no model has to write
    own = str(tokenizer.chat_template)
    tokenizer.chat_template = own.replace("eos_token + '\n\n'", "eos_token")
    assert tokenizer.chat_template != own
    settings: dict[str, Any] = {"learning_rate": 0.0, "max_steps": 1, "logging_steps": 1, "save_strategy": "no"}
    settings |= {"per_device_train_batch_size": len(preferences.ROWS), "report_to": [], "disable_tqdm": True}
    trainer = trl.DPOTrainer(
        model=AutoModelForCausalLM.from_pretrained(preferences.TINY, dtype=torch.float32),
        args=trl.DPOConfig(
            output_dir=str(tmp_path), beta=preferences.BETA, loss_type=loss_type, use_cpu=True, bf16=False, **settings
        ),
        train_dataset=datasets.Dataset.from_list(preferences.ROWS),
        processing_class=tokenizer,
        peft_config=peft.LoraConfig(r=8, lora_alpha=16, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM"),
    )
    ours = lora.trainable(preferences.adapted())
    with torch.no_grad():
        for name, parameter in trainer.model.named_parameters():
            if parameter.requires_grad:
                parameter.copy_(ours.pop(name))
    assert not ours

    trainer.train()

    logged = trainer.state.log_history[0]
    assert {name: logged[name] for name in TRL[loss_type]} == pytest.approx(TRL[loss_type], rel=1e-4)


def test_the_losses_by_hand() -> None:
    policy_P2, reference_P2 = torch.tensor([[-10.0, -12.0], [-9.0, -3.0]]), torch.tensor([[-11.0, -11.0], [-9.0, -4.0]])
    lengths_P2 = torch.tensor([[2.0, 4.0], [1.0, 1.0]])

    sigmoid = measure("sigmoid", 0.5, policy_P2, reference_P2, lengths_P2)
    ipo = measure("ipo", 0.5, policy_P2, reference_P2, lengths_P2)

    assert sigmoid.losses_P.tolist() == pytest.approx([0.313262, 0.974077], abs=1e-6)  # -log sigmoid of 1 and of -0.5
    assert ipo.losses_P.tolist() == pytest.approx([(1 / 2 + 1 / 4 - 1) ** 2, (0 - 1 - 1) ** 2])
    found = figures(2, sigmoid.sums()).of_training()
    assert found == pytest.approx(
        {
            "rewards_chosen": 0.25,
            "rewards_rejected": 0.0,
            "rewards_accuracies": 0.5,
            "rewards_margins": 0.25,
            "logps_chosen": -9.5,
            "logps_rejected": -7.5,
        }
    )
