"""A request's body, in JSON of the declared shape; and work that ends when its client goes away."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from typing import Any, TypeVar

import msgspec
from litestar import Request
from litestar.exceptions import HTTPException

from handlers._http.sentences import validation_sentence, wrong_field
from state.errors import ServiceError


class Undeclared(HTTPException):
    """A body that is not of the declared shape, or a parameter that there is not."""

    def __init__(self, sentence: str, field: str | None) -> None:
        """`field` is the one that is wrong, where it is known."""
        super().__init__(sentence, status_code=400)
        self.field = field


Body = TypeVar("Body")
Result = TypeVar("Result")


def decoded(request: Request[Any, Any, Any], kind: type[Body], body: bytes) -> Body:
    """A request's body, in JSON of this type. Raises HTTPException."""
    if request.content_type[0] != "application/json":
        raise HTTPException("Send the body as JSON, with the header Content-Type: application/json", status_code=415)
    try:
        return msgspec.json.decode(body or b"{}", type=kind)
    except msgspec.ValidationError as error:
        raise Undeclared(validation_sentence(str(error), kind), wrong_field(str(error))) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise HTTPException(f"The request body is not valid JSON: {error}", status_code=400) from error
    except RecursionError as error:
        raise HTTPException("The request body is nested too deeply", status_code=400) from error


async def pieces(request: Request[Any, Any, Any], limit: int) -> AsyncIterator[bytes]:
    """The body as it comes, of a handler that has a limit of its own. Raises HTTPException for more bytes than that."""
    announced, taken = request.content_length or 0, 0
    if announced > limit:
        raise _too_large(limit)
    async for piece in request.stream():
        taken += len(piece)
        if taken > limit:
            raise _too_large(limit)
        yield piece


def _too_large(limit: int) -> HTTPException:
    return HTTPException(f"The request body is larger than {limit // 2**20} MiB: that is the limit", status_code=413)


async def while_connected(request: Request[Any, Any, Any], work: Awaitable[Result]) -> Result:
    """Do what a request asks for; a client that goes away cancels it. Raises what the work raises."""
    working = asyncio.ensure_future(work)
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
