"""A request's body, in JSON of the declared shape; and work that ends when its client goes away."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import msgspec
from litestar import Request
from litestar.exceptions import HTTPException

from handlers._http.sentences import validation_sentence
from state.errors import ServiceError

Body = TypeVar("Body")
Result = TypeVar("Result")


async def decoded(request: Request[Any, Any, Any], kind: type[Body]) -> Body:
    """The body, in JSON of this type. Raises HTTPException."""
    if request.content_type[0] != "application/json":
        raise HTTPException("Send the body as JSON, with the header Content-Type: application/json", status_code=415)
    body = await request.body()
    try:
        return msgspec.json.decode(body or b"{}", type=kind)
    except msgspec.ValidationError as error:
        raise HTTPException(validation_sentence(str(error), kind), status_code=400) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise HTTPException(f"The request body is not valid JSON: {error}", status_code=400) from error
    except RecursionError as error:
        raise HTTPException("The request body is nested too deeply", status_code=400) from error


async def while_connected(request: Request[Any, Any, Any], work: Coroutine[Any, Any, Result]) -> Result:
    """Do what a request asks for; a client that goes away cancels it. Raises what the work raises."""
    working = asyncio.create_task(work)
    leaving = asyncio.create_task(_left(request))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ServiceError("The client went away")
        return working.result()
    finally:
        for task in (working, leaving):
            task.cancel()


async def _left(request: Request[Any, Any, Any]) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
