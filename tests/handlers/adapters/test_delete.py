from collections.abc import Callable
from pathlib import Path

from tests.server import Server


def test_delete_removes_a_loaded_adapter_for_good(training: Server, copy_in: Callable[[str], Path]) -> None:
    folder = copy_in("doomed")
    training.post("/adapters/doomed/load")

    reply = training.delete("/adapters/doomed")

    assert (reply.status_code, reply.json()) == (
        200,
        {"adapter_name": "doomed", "status": "deleted", "message": "Adapter doomed deleted successfully"},
    )
    assert not folder.exists()
    assert training.get("/adapters").json()["current_adapter"] is None
    assert training.delete("/adapters/doomed").status_code == 404


def test_delete_frees_the_bytes_in_the_jobs_folder_and_in_output_dir_of_a_renamed_adapter_too(
    queueing: Server, train_here: Callable[..., str]
) -> None:
    job_id = train_here(adapter_name="everywhere", output_dir="./out", training_config={"max_steps": 1})
    renamed = queueing.patch("/adapters/everywhere", name="elsewhere")
    there = (queueing.root / "out" / "elsewhere" / "adapter_model.safetensors").exists()

    queueing.delete("/adapters/elsewhere")

    assert (renamed.status_code, there) == (200, True)
    assert not list(queueing.job_folder(job_id).rglob("*.safetensors"))
    assert not list((queueing.root / "out").iterdir())
    assert queueing.status(job_id)["adapter_path"] is None
