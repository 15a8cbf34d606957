"""A server like Lathe's own, whose `GET /api/constant/<id>` answers one and the same status: what the framework costs.

`python -m benchmarks.constant_server ROOT PORT`, for `benchmarks/folders.py`.
"""

import sys
from datetime import UTC, datetime
from pathlib import Path

import uvicorn
from litestar import Router, get
from litestar.params import FromPath

import server as lathe
from handlers._http import requests
from handlers.training.status import Losses, StatusReply
from runtime.process import machine
from runtime.server.service import Service
from state.root import DataRoot

BORN = datetime(2026, 1, 1, tzinfo=UTC)
REPLY = StatusReply(
    job_id="00000000-0000-0000-0000-000000000000",
    model_name="tiny-python",
    status="completed",
    progress=100.0,
    created_at=BORN,
    started_at=BORN,
    completed_at=BORN,
    current_step=3,
    total_steps=3,
    current_loss=1.25,
    learning_rate=0.0002,
    metrics=Losses(1.25, None),
    adapter_path=None,
    stopped_early=None,
    error_message=None,
    message=None,
)


@get("/constant/{job_id:str}", opt={"action": "answer"})
async def constant(job_id: FromPath[str]) -> StatusReply:  # noqa: ARG001  as the real one has it
    return REPLY


def main(root: str, port: str) -> None:
    service = Service.build(DataRoot.at(Path(root)), machine.inspect(), 0, spare_trainer=False, unload_after_s=0)
    app = lathe.build_app(service, 256)
    app.register(Router(path="/api", route_handlers=[constant], before_request=requests.check))
    uvicorn.run(lathe.guarded(app, [], None, service.meter), host="127.0.0.1", port=int(port), log_level="warning")


if __name__ == "__main__":
    main(*sys.argv[1:])
