from collections.abc import Callable
from pathlib import Path

from tests.server import Server


def test_list_tells_of_every_adapter_what_the_specification_says(
    training: Server, copy_in: Callable[[str], Path]
) -> None:
    copy_in("listed")

    reply = training.get("/adapters").json()

    adapter = next(adapter for adapter in reply["adapters"] if adapter["name"] == "listed")
    assert adapter["path"] == "./adapters/listed"
    assert adapter["model_name"] == "toy"
    assert adapter["created_at"].endswith("Z")
    assert adapter["size_mb"] > 0
    assert adapter["description"] == "Made by a test"
    assert adapter["tags"] == []
    assert (adapter["is_loaded"], adapter["job_id"]) == (False, "toy")
    assert adapter["metrics"]["training_steps"] == 6
    assert adapter["metrics"]["final_loss"] > 0
    assert set(adapter) == {
        "name",
        "path",
        "model_name",
        "created_at",
        "size_mb",
        "description",
        "tags",
        "is_loaded",
        "metrics",
        "job_id",
        "problem",
    }
    assert set(reply) == {"adapters", "total", "current_adapter", "complete"}
    assert reply["total"] == len(reply["adapters"])
