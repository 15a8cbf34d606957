"""What jobs that train may still take is left to them by inference where it computes beside them."""

from collections.abc import Callable

from msgspec import structs

from runtime.process.machine import Machine
from runtime.server.jobs.claims import Claims
from state import jobs, store
from state.jobs import JobFolder
from tests.standins import Rig

Rigs = Callable[..., Rig]


def test_of_the_jobs_beside_inference_it_is_their_plan_less_what_they_have_had(rig: Rigs) -> None:
    server = rig(Machine("cuda", "two", ("0", "1")))
    claims = Claims(server.index, server.trainers, server.accelerators)

    async def scenario() -> None:
        folders = [server.add() for _ in range(2)]
        where = {(await server.given(folder))["accelerator"]: folder for folder in folders}
        with server.accelerators.inferring() as environment:
            assert environment == {"CUDA_VISIBLE_DEVICES": "0"}
            assert claims.beside_inference_mb() == 0, "before a job has its plan there is nothing to be known"

            _tell(server, where["1"], planned_mb=7000.0, taken_mb=None)
            assert claims.beside_inference_mb() == 0
            _tell(server, where["0"], planned_mb=900.0, taken_mb=None)
            assert claims.beside_inference_mb() == 900
            _tell(server, where["0"], planned_mb=900.0, taken_mb=850.5)
            assert claims.beside_inference_mb() == 49
            _tell(server, where["0"], planned_mb=900.0, taken_mb=1000.0)
            assert claims.beside_inference_mb() == 0

    server.run(scenario)


def test_on_a_cpu_all_compute_beside_each_other(rig: Rigs) -> None:
    server = rig(Machine("cpu", "any"))
    claims = Claims(server.index, server.trainers, server.accelerators)

    async def scenario() -> None:
        folder = server.add()
        await server.given(folder)
        _tell(server, folder, planned_mb=2500.0, taken_mb=None)

        assert claims.beside_inference_mb() == 2500

        await server.finish(folder)
        await server.until(lambda: claims.beside_inference_mb() == 0, "the job has ended")

    server.run(scenario)


def _tell(server: Rig, folder: JobFolder, planned_mb: float, taken_mb: float | None) -> None:
    status = structs.replace(jobs.read_status(folder), planned_memory_mb=planned_mb, memory_mb=taken_mb)
    store.write(folder.status_file, status)
    server.index.refresh_job(folder.job_id)
