"""GET /api/machine: what the machine and the installation have and lack, and who uses them."""

from litestar import get
from litestar.di import NamedDependency
from msgspec import Struct, structs

from runtime.server import doctor, occupants
from runtime.server.doctor import Report
from runtime.server.occupants import Occupant
from runtime.server.service import Service


class Slots(Struct):
    """`jobs` are those that train."""

    total: int
    busy: int
    jobs: list[str]


class Inference(Struct):
    """`requests_running` counts completions."""

    running: bool
    requests_running: int
    current_adapter: str | None


class MachineReply(Report, frozen=True, kw_only=True):
    slots: Slots
    inference: Inference
    processes: list[Occupant]


@get("/machine", opt={"action": "examine the machine"}, sync_to_thread=True)
def show_machine(service: NamedDependency[Service]) -> MachineReply:
    living = service.trainers.living
    trained = service.index.known_jobs(living)
    return MachineReply(
        **structs.asdict(doctor.examine(service.root, service.machine)),
        slots=Slots(service.queue.slots, service.queue.busy(), sorted(living)),
        inference=Inference(service.worker.is_running, service.worker.in_flight, service.serving.current_name),
        processes=occupants.found(trained),
    )
