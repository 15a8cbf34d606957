import json
from collections.abc import Callable
from pathlib import Path

from tests.server import Server, wait_until


def test_show_adds_how_the_adapter_was_trained(training: Server, copy_in: Callable[[str], Path]) -> None:
    copy_in("shown")

    reply = training.get("/adapters/shown").json()

    assert reply["training_config"]["r"] == 4
    assert reply["training_config"]["lora_alpha"] == 8
    assert reply["training_config"]["learning_rate"] == 0.01
    assert reply["job_id"] == "toy"
    assert set(reply["metrics"]) == {
        "final_loss",
        "eval_loss",
        "best_step",
        "training_steps",
        "training_time_minutes",
    }


def test_an_adapter_from_elsewhere_is_shown_by_pefts_own_config(
    training: Server, copy_in: Callable[[str], Path]
) -> None:
    folder = copy_in("foreign")
    (folder / "adapter.json").unlink()
    config = json.loads((folder / "adapter_config.json").read_text())
    config["base_model_name_or_path"] = "/home/somebody/models/toy"
    (folder / "adapter_config.json").write_text(json.dumps(config))

    def shown() -> bool:
        reply = training.get("/adapters/foreign").json()
        return bool(reply["description"] == "" and reply["training_config"].get("r") == 4)

    wait_until(shown, "the changed files are shown")
    reply = training.get("/adapters/foreign").json()
    assert (reply["model_name"], reply["job_id"]) == ("toy", None)
    assert set(reply["metrics"].values()) == {None}


def test_an_edited_description_is_shown_within_two_seconds(training: Server, copy_in: Callable[[str], Path]) -> None:
    folder = copy_in("described")
    record = json.loads((folder / "adapter.json").read_text())

    (folder / "adapter.json").write_text(json.dumps(record | {"description": "New words", "note": "my own key"}))

    wait_until(
        lambda: training.get("/adapters/described").json()["description"] == "New words",
        "the description is shown",
    )
