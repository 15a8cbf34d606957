"""The memory that jobs which train have planned with and not taken yet: no request is to take it."""

from msgspec import Struct

from runtime.server.index import Index
from runtime.server.jobs.accelerators import Accelerators
from runtime.server.jobs.trainers import Trainers
from state.jobs import Status


class Claims(Struct, frozen=True):
    """Asked before each request that inference is sent."""

    index: Index
    trainers: Trainers
    accelerators: Accelerators

    def beside_inference_mb(self) -> int:
        """Of all jobs that train where inference computes, in 2^20 bytes."""
        return sum(
            claimed_mb(entry.status)
            for entry in self.index.known_jobs(self.trainers.living)
            if self.accelerators.has_inference(self.trainers.accelerator(entry))
        )


def claimed_mb(status: Status) -> int:
    """What a running job may still take: its plan, less the most that it has had.

    >>> claimed_mb(Status(planned_memory_mb=900.0)), claimed_mb(Status(planned_memory_mb=900.0, memory_mb=850.5))
    (900, 49)
    """
    return max(0, int((status.planned_memory_mb or 0.0) - (status.memory_mb or 0.0)))
