"""Weights & Biases as OpenAI's own client asks for it, and `report_to` beside it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import openai
import pytest

from state import report_to
from tests.reporting import StandIns
from tests.server import MODEL, Server

WANDB = {"type": "wandb", "wandb": {"project": "p", "name": "n", "entity": "e", "tags": ["a", "b"]}}
CHAT = b'{"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}]}\n'


def _client(server: Server) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"http://localhost:{server.port}/v1", api_key="none", max_retries=0)


def test_an_integration_is_shown_as_asked_and_a_repeated_request_finds_its_job_after_a_restart(
    start_server: Callable[..., Server], tmp_path: Path
) -> None:
    """The server is killed between the two tries, after the job was made and before anybody heard of it."""
    stand_ins = {"PYTHONPATH": str(StandIns(tmp_path / "stand-ins").folder)}
    server = start_server("--slots", "0", root=tmp_path / "root", environment=stand_ins)
    asked: dict[str, Any] = {"model": MODEL, "integrations": [WANDB], "metadata": {"try": "twice"}}
    with _client(server) as client:
        asked["training_file"] = client.files.create(file=("a.jsonl", CHAT), purpose="fine-tune").id
        first = client.fine_tuning.jobs.create(**asked)
    server.kill()

    anew = start_server("--slots", "0", root=tmp_path / "root", environment=stand_ins)
    with _client(anew) as client:
        again = client.fine_tuning.jobs.create(**asked, extra_headers={"x-stainless-retry-count": "1"})
        listed = [job.id for job in client.fine_tuning.jobs.list()]

    assert [integration.to_dict() for integration in first.integrations or []] == [WANDB]
    assert again == first
    assert listed == [first.id]


@pytest.mark.skipif(report_to.is_installed("wandb"), reason="wandb is installed")
def test_a_missing_package_is_named_with_the_command_that_installs_it(
    waiting: openai.OpenAI, queueing: Server, chats: str
) -> None:
    with pytest.raises(openai.BadRequestError, match=r"integrations: wandb needs .*pip install -e '\.\[wandb\]'") as no:
        waiting.fine_tuning.jobs.create(model=MODEL, training_file=chats, integrations=[WANDB])  # type: ignore[list-item]
    by_lathe = queueing.post("/training/start", {"model_name": MODEL, "train_texts": ["a"], "report_to": ["wandb"]})

    assert no.value.param == "integrations"
    assert (by_lathe.status_code, "report_to: wandb needs the package" in by_lathe.json()["error"]) == (400, True)


@pytest.mark.parametrize(
    ("asked", "error"),
    [
        (["tensorboard", {"type": "tensorboard"}], "report_to has tensorboard twice"),
        ([{"type": "tensorboard", "project": "p"}], "report_to: project does not go with tensorboard"),
        (["neptune"], 'report_to[0] must not be \'neptune\': use "tensorboard", "mlflow", "wandb" or "trackio"'),
        ([{"project": "p"}], "report_to[0].type is required"),
        ([{"type": "wandb", "colour": "red"}], "unknown field report_to[0].colour"),
        ("wandb", "report_to must be a list"),
    ],
)
def test_what_report_to_cannot_mean_is_refused(queueing: Server, asked: object, error: str) -> None:
    reply = queueing.post("/training/start", {"model_name": MODEL, "train_texts": ["a"], "report_to": asked})

    assert reply.status_code == 400
    assert error in reply.json()["error"]


def test_a_job_takes_its_report_to_along(waiting: openai.OpenAI, queueing: Server, chats: str) -> None:
    made = waiting.fine_tuning.jobs.create(
        model=MODEL, training_file=chats, extra_body={"lathe": {"report_to": ["tensorboard"]}}
    )

    job_file = queueing.job_folder(made.id.removeprefix("ftjob-")) / "job.json"
    assert '"report_to": [\n    "tensorboard"\n  ]' in job_file.read_text()
    assert made.integrations == []
