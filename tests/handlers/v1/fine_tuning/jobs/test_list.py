"""Jobs as OpenAI's own client lists, pauses, resumes and cancels them."""

from collections.abc import Callable

import openai
import pytest

from tests.handlers.v1.fine_tuning.conftest import CHATS, lines
from tests.server import MODEL, Server


def _made(client: openai.OpenAI, file: str, **metadata: str) -> str:
    return client.fine_tuning.jobs.create(model=MODEL, training_file=file, metadata=metadata).id


def test_jobs_are_listed_page_by_page_and_by_their_metadata(start_server: Callable[..., Server]) -> None:
    """Of a server of its own: jobs that others' tests remove by hand are in its list for a moment longer."""
    server = start_server("--slots", "0")
    with openai.OpenAI(base_url=f"http://localhost:{server.port}/v1", api_key="none", max_retries=0) as client:
        file = client.files.create(file=("chats.jsonl", lines(CHATS)), purpose="fine-tune").id
        ids = [_made(client, file, suite="list", number=str(n % 2)) for n in range(3)]
        otherwise = f"ftjob-{server.start()}"

        listed = client.fine_tuning.jobs.list
        assert [job.id for job in listed(limit=1, metadata={"suite": "list"})] == ids[::-1]
        assert [job.id for job in listed(limit=1, metadata={"suite": "list", "number": "0"})] == [ids[2], ids[0]]
        assert listed(limit=1).data[0].id == otherwise
        assert listed(limit=2, after=otherwise).data[0].id == ids[2]
        assert [job.id for job in listed(limit=2)] == [otherwise, *ids[::-1]]
        without = server.get(f"http://localhost:{server.port}/v1/fine_tuning/jobs", params={"metadata": "null"})
        assert [job["id"] for job in without.json()["data"]] == [otherwise]
        with pytest.raises(openai.BadRequestError, match="begin again without it"):
            listed(after="ftjob-gone")


def test_a_job_that_was_started_otherwise_is_shown_too(waiting: openai.OpenAI, queueing: Server) -> None:
    job_id = queueing.start(training_config={"num_epochs": 7, "learning_rate": 1e-3})

    shown = waiting.fine_tuning.jobs.retrieve(f"ftjob-{job_id}")

    assert (shown.model, shown.training_file, shown.metadata) == (MODEL, "", None)
    assert shown.hyperparameters.to_dict() == {"n_epochs": 7, "batch_size": 4, "learning_rate_multiplier": 5.0}
    stepped = queueing.start(training_config={"max_steps": 7})
    assert waiting.fine_tuning.jobs.retrieve(f"ftjob-{stepped}").hyperparameters.n_epochs is None


def test_a_job_is_paused_resumed_and_cancelled(waiting: openai.OpenAI, queueing: Server, chats: str) -> None:
    job_id = _made(waiting, chats)
    of = waiting.fine_tuning.jobs

    assert of.pause(job_id).status == "paused"  # type: ignore[comparison-overlap]
    with pytest.raises(openai.BadRequestError, match="it is already paused"):
        of.pause(job_id)
    assert of.resume(job_id).status == "queued"
    cancelled = of.cancel(job_id)
    assert (cancelled.status, cancelled.trained_tokens, cancelled.error) == ("cancelled", 0, None)
    assert cancelled.finished_at is not None
    with pytest.raises(openai.BadRequestError, match="it is already cancelled"):
        of.cancel(job_id)
    assert queueing.status(job_id.removeprefix("ftjob-"))["status"] == "cancelled"


@pytest.mark.parametrize("what", ["retrieve", "cancel", "pause", "resume"])
@pytest.mark.parametrize("job_id", ["ftjob-gone", "gone"])
def test_an_unknown_job_is_a_404(waiting: openai.OpenAI, what: str, job_id: str) -> None:
    with pytest.raises(openai.NotFoundError, match=f"No such fine-tuning job: {job_id}"):
        getattr(waiting.fine_tuning.jobs, what)(job_id)


def test_a_job_whose_file_is_broken_is_shown_as_far_as_it_is_known(
    waiting: openai.OpenAI, queueing: Server, chats: str
) -> None:
    job_id = _made(waiting, chats)
    folder = queueing.job_folder(job_id.removeprefix("ftjob-"))
    written = (folder / "job.json").read_bytes()
    (folder / "job.json").write_text("{")

    shown = waiting.fine_tuning.jobs.retrieve(job_id)

    assert (shown.model, shown.status) == (MODEL, "queued")
    assert "job.json" in str(shown.to_dict()["lathe"])
    assert job_id in {job.id for job in waiting.fine_tuning.jobs.list(limit=100)}
    (folder / "job.json").write_bytes(written)
