"""GET /api/training/data/{dataset_name}/report: what a data set is for a model."""

import asyncio
from typing import Annotated, Any

from litestar import Request, get
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, QueryParameter

from handlers._http.bodies import while_connected
from runtime.messages.report import Report
from runtime.server.service import Service
from state import models, training_data
from state.config import Learn


@get("/training/data/{dataset_name:str}/report", opt={"action": "report on data set"})
async def report(  # noqa: PLR0913, PLR0917  its query parameters
    request: Request[Any, Any, Any],
    dataset_name: FromPath[str],
    service: NamedDependency[Service],
    model_name: Annotated[str, QueryParameter(min_length=1, description="the model that would be trained")],
    max_seq_length: Annotated[
        int | None, QueryParameter(ge=2, le=1_048_576, description="as in training_config")
    ] = None,
    learn: FromQuery[Learn | None] = None,
) -> Report:
    rows = await asyncio.to_thread(training_data.located, service.root, dataset_name)
    await asyncio.to_thread(models.find, service.root, model_name)
    return await while_connected(request, service.inspector.report(rows, model_name, max_seq_length, learn))
