"""lm-evaluation-harness, unmodified, scores a base and an adapter as its own `hf` model does.

The commands and the tasks are those of docs/evaluating.md. The harness is no dependency of the project:
`pip install "lm-eval[api]==0.4.13"` for this test. What it sends is replayed in test_lm_eval_requests.py.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from runtime.model.bases import quantization
from runtime.model.tokenizers import load_tokenizer
from tests.server import CHECKOUT, Server

pytest.importorskip("lm_eval", reason="lm-evaluation-harness is not installed")

PRECISION = 2e-2  # of bf16, in a token's log probability
MOST_TOKENS = 12  # of an answer or a question


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with the rows and tasks of the page."""
    page = (CHECKOUT / "docs" / "evaluating.md").read_text()
    [rows] = re.findall(r"```json\n(.*?)```", page, flags=re.DOTALL)
    (tmp_path / "questions.jsonl").write_text(rows)
    (tmp_path / "tasks").mkdir()
    for task in re.findall(r"```yaml\n(.*?)```", page, flags=re.DOTALL):
        (tmp_path / "tasks" / f"{task.split()[1]}.yaml").write_text(task)
    return tmp_path


def _run(place: Path, command: str) -> None:
    environment = os.environ | {"HF_HOME": str(place / "hf"), "HF_HUB_OFFLINE": "1"}
    found = subprocess.run(
        ["bash", "-ec", command], cwd=place, env=environment, capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stdout + found.stderr


def _samples(results: Path) -> dict[str, list[Any]]:
    """What the model said of each row, by task."""
    found: dict[str, list[Any]] = {}
    for file in results.rglob("samples_*.jsonl"):
        rows = sorted(map(json.loads, file.read_text().splitlines()), key=lambda row: row["doc_id"])
        found[file.name.split("_")[1]] = [row["filtered_resps"] for row in rows]
    return found


def _expected(place: Path, base: Path, adapter: Path | None, monkeypatch: pytest.MonkeyPatch) -> dict[str, list[Any]]:
    """The same by the harness' own model."""
    from lm_eval import simple_evaluate  # noqa: PLC0415  where it is installed
    from lm_eval.models.huggingface import HFLM  # noqa: PLC0415
    from lm_eval.tasks import TaskManager  # noqa: PLC0415

    model: Any = AutoModelForCausalLM.from_pretrained(
        str(base), quantization_config=quantization(torch.bfloat16), dtype=torch.bfloat16
    )
    model = PeftModel.from_pretrained(model, str(adapter)) if adapter else model
    own = HFLM(
        pretrained=model.eval(),
        tokenizer=load_tokenizer(str(base)),
        max_length=256,
        device="cpu",
        softmax_dtype="float32",  # its own sums are bf16, to half a unit at 70
    )
    monkeypatch.chdir(place)
    found: Any = simple_evaluate(
        own,
        tasks=["questions", "perplexity"],
        task_manager=TaskManager(include_path=str(place / "tasks")),
        log_samples=True,
    )
    return {
        task: [row["filtered_resps"] for row in sorted(rows, key=lambda row: row["doc_id"])]
        for task, rows in found["samples"].items()
    }


def _likelihoods(of_a_row: list[Any]) -> list[float]:
    """Of the choices of one row, or of one text."""
    return [float(one[0] if isinstance(one, list | tuple) else one) for one in of_a_row]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["trained", "toy"])
def test_the_harness_scores_a_model_as_its_own_model_does(
    serving: Server, toy: Path, trained: Path, place: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (CHECKOUT / "docs" / "evaluating.md").read_text()
    [command] = re.findall(r"```bash\n(curl [^`]*lm_eval run [^`]*)```", page)
    command = command.replace("localhost:5001", f"localhost:{serving.port}").replace(
        "max_length=2048", "max_length=256"
    )
    command = command.replace("adapters/my-first", "adapters/trained").replace("my-first", name)
    command = command.replace("lm_eval run", f"{sys.executable} -m lm_eval run")

    _run(place, command)
    serving.post("/adapters/unload")

    found = _samples(place / "results")
    expected = _expected(place, toy, trained if name == "trained" else None, monkeypatch)
    assert set(found) == set(expected) == {"questions", "perplexity"}
    for task, rows in expected.items():
        for mine, theirs in zip(found[task], rows, strict=True):
            assert _likelihoods(mine) == pytest.approx(_likelihoods(theirs), abs=PRECISION * MOST_TOKENS**0.5)
    greedy = [[bool(is_greedy) for _, is_greedy in row] for row in expected["questions"]]
    assert [[one[1] in {True, "True"} for one in row] for row in found["questions"]] == greedy
