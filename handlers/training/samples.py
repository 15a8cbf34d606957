"""GET /api/training/samples/{job_id}: what the model has answered to a job's sample prompts, step by step."""

from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromPath
from msgspec import Struct

from runtime.server.service import Service
from state import samples


class SamplesReply(Struct):
    """In the order of the steps; of one step in the order of the prompts."""

    job_id: str
    samples: list[samples.Sample]
    total: int


@get("/training/samples/{job_id:str}", opt={"action": "get training samples"}, sync_to_thread=True)
def training_samples(job_id: FromPath[str], service: NamedDependency[Service]) -> SamplesReply:
    found = samples.read(service.index.job(job_id).folder.samples_file)
    return SamplesReply(job_id=job_id, samples=found, total=len(found))
