import pytest

from runtime.process.machine import Machine
from runtime.server.jobs import room


@pytest.mark.parametrize(
    ("device", "free_mb", "needed"), [("cpu", 20_000, False), ("cpu", 10_000, True), ("cuda", 20_000, True)]
)
def test_a_job_needs_the_room_of_idle_inference_where_memory_is_short(
    device: str,
    free_mb: float,
    needed: bool,  # noqa: FBT001
) -> None:
    machine = Machine(device, "any")  # type: ignore[arg-type]

    assert room.is_short(machine, free_mb, weights_mb=13_500) == needed
