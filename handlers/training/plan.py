"""POST /api/training/plan: what a training would take, of a job that is not started."""

import asyncio
from typing import Any

from litestar import Request, post
from litestar.di import NamedDependency
from litestar.params import JSONBody

from handlers._http.bodies import while_connected
from handlers.training.start import StartRequest
from runtime.messages.forecast import Forecast
from runtime.server.service import Service


@post("/training/plan", status_code=200, opt={"action": "plan training"})
async def plan(
    data: JSONBody[StartRequest], service: NamedDependency[Service], request: Request[Any, Any, Any]
) -> Forecast:
    job = data.job()
    rows = await asyncio.to_thread(data.rows, service.root)
    await asyncio.to_thread(service.submission.check, job, rows.train, rows.held_out)
    return await while_connected(request, service.forecaster.forecast(job, rows.train, rows.held_out))
