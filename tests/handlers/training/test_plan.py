import shutil
import time
from collections.abc import Callable
from pathlib import Path

from state.rows.row import Text
from state.rows.split import Split
from tests.processes import on_linux
from tests.server import Client, Server, wait_until
from tests.unloadable import unloadable

TEXTS = [f"def number_{n}():\n    return {n}\n" for n in range(10)] + ["x = 1\n" * 200]
TRAINING = {"batch_size": 2, "gradient_accumulation_steps": 2, "max_seq_length": 64, "num_epochs": 2}


def _request(**fields: object) -> dict[str, object]:
    return {"model_name": "toy", "train_texts": TEXTS, "training_config": TRAINING} | fields


def test_a_plan_says_what_a_training_would_take_and_makes_nothing(training: Server) -> None:
    before = set((training.root / "training_jobs").iterdir())

    split = Split(0.2, seed=42)
    num_trained = sum(split.takes(Text(text)) for text in TEXTS)

    settings = TRAINING | {"validation_split": split.share}
    began = time.monotonic()
    reply = training.post("/training/plan", _request(training_config=settings, sample_prompts=["def"], sample_tokens=4))
    took_s = time.monotonic() - began

    assert reply.status_code == 200, reply.text
    plan = reply.json()
    assert (plan["num_examples"], plan["num_eval_examples"]) == (num_trained, len(TEXTS) - num_trained)
    assert (plan["num_truncated"], plan["num_dropped"]) == (1, 0)
    assert (plan["steps_per_epoch"], plan["total_steps"], plan["max_seq_length"]) == (3, 6, 64)
    assert (plan["fits"], plan["advice"], plan["gradient_checkpointing"]) == (True, None, "none")
    assert 0 < plan["peak_memory_mb"] < plan["available_memory_mb"]
    # most of both is a trainer's start; what was timed, and may have been held up, counts seven times at most
    assert 0 < 60 * plan["estimated_minutes"] < 25 * took_s
    assert set((training.root / "training_jobs").iterdir()) == before


def test_a_plan_is_refused_as_the_job_would_be(training: Server) -> None:
    wrongs: list[dict[str, object]] = [
        {"model_name": "nothing"},
        {"train_texts": []},
        {"lora_config": {"target_modules": ["nose"]}},
    ]
    for wrong in wrongs:
        planned, started = (training.post(f"/training/{way}", _request(**wrong)) for way in ("plan", "start"))

        assert planned.status_code == started.status_code == 400
        assert planned.json() == started.json()


def test_a_plan_refuses_what_only_tokens_show(training: Server) -> None:
    reply = training.post("/training/plan", _request(training_config=TRAINING | {"warmup_steps": 6}, train_texts=[" "]))

    assert (reply.status_code, list(reply.json())) == (400, ["error"])


def test_a_plan_beyond_the_servers_memory_says_so(
    start_server: Callable[..., Server], toy: Path, tmp_path: Path
) -> None:
    shutil.copytree(toy, tmp_path / "models" / "toy")
    server = start_server("--slots", "0", "--memory-mb", "100")

    plan = server.post("/training/plan", _request()).json()

    assert not plan["fits"]
    assert "there are 100. No max_seq_length is short enough" in plan["advice"]
    assert (plan["peak_memory_mb"], plan["remedy"]) == (None, None)


@on_linux
def test_a_client_that_goes_away_stops_its_plan(training: Server, toy: Path) -> None:
    link = training.root / "models" / "planned"
    link.symlink_to(toy)
    with unloadable(training.root, "planned"):  # else the plan would soon end by itself
        asking = Client(training, "/training/plan", _request(model_name="planned"))
        wait_until(lambda: bool(training.asked("runtime.trainer.forecast")), "the plan is being made")

        asking.go_away()

        wait_until(lambda: not training.asked("runtime.trainer.forecast"), "it is given up")
    link.unlink()
