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


def test_delete_frees_the_bytes_in_the_jobs_folder_and_in_output_dir(training: Server) -> None:
    job_id = training.start(
        model_name="toy", adapter_name="everywhere", output_dir="./out", training_config={"max_steps": 1}
    )
    training.wait_for(job_id, "completed")
    assert (training.root / "out" / "everywhere" / "adapter_model.safetensors").exists()

    training.delete("/adapters/everywhere")

    assert not list(training.job_folder(job_id).rglob("*.safetensors"))
    assert not (training.root / "out" / "everywhere").exists()
    assert training.status(job_id)["adapter_path"] is None
