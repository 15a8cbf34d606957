"""GET /api/training/data/{dataset_name}/preview: rows as a model learns them, piece by piece."""

import asyncio
from typing import Annotated, Any

from litestar import Request, get
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, QueryParameter

from handlers._http.bodies import while_connected
from runtime.messages.preview import Preview
from runtime.server.service import Service
from state import models, training_data
from state.config import Learn


@get("/training/data/{dataset_name:str}/preview", opt={"action": "preview data set"})
async def preview(  # noqa: PLR0913, PLR0917  its query parameters
    request: Request[Any, Any, Any],
    dataset_name: FromPath[str],
    service: NamedDependency[Service],
    model_name: Annotated[str, QueryParameter(min_length=1, description="the model that would be trained")],
    file: FromQuery[str | None] = None,
    first: Annotated[int, QueryParameter(ge=1, le=2**53, description="a row's number in its file, from 1")] = 1,
    rows: Annotated[int, QueryParameter(ge=1, le=100, description="how many rows")] = 10,
    min_tokens: Annotated[int | None, QueryParameter(ge=0, description="only rows of so many tokens or more")] = None,
    max_tokens: Annotated[int | None, QueryParameter(ge=0, description="only rows of so many tokens or fewer")] = None,
    learn: FromQuery[Learn | None] = None,
) -> Preview:
    source = await asyncio.to_thread(training_data.located, service.root, dataset_name)
    await asyncio.to_thread(models.find, service.root, model_name)
    work = service.inspector.preview(
        source,
        model_name,
        learn,
        file=file,
        first=first,
        count=rows,
        min_tokens=min_tokens,
        max_tokens=max_tokens,
    )
    return await while_connected(request, work)
