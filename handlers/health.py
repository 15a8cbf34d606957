"""GET /api/health: whether the server works, on what, and how busy it is."""

from litestar import get
from litestar.di import NamedDependency
from msgspec import Struct

from runtime.server.service import Service
from state.version import VERSION


class Slots(Struct):
    """Jobs that can run side by side, and how many do."""

    total: int
    busy: int


class HealthReply(Struct):
    status: str
    version: str
    device: str
    device_name: str
    slots: Slots
    current_adapter: str | None


@get("/health", opt={"action": "report health"})
async def health(service: NamedDependency[Service]) -> HealthReply:
    return health_of(service)


def health_of(service: Service) -> HealthReply:
    return HealthReply(
        status="ok",
        version=VERSION,
        device=service.machine.device,
        device_name=service.machine.name,
        slots=Slots(total=service.queue.slots, busy=service.queue.busy()),
        current_adapter=service.serving.current_name,
    )
