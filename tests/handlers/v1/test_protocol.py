"""What both kinds of completion share, where no client can see to the bottom of it."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from handlers.v1.protocol import streamed
from runtime.server.answering.worker import Event
from state.errors import ServiceError
from tests.server import PATIENCE_S


class GoneRequest:
    """Of a client that went away."""

    async def receive(self) -> dict[str, Any]:
        return {"type": "http.disconnect"}


def test_a_stream_whose_client_goes_before_its_first_token_is_given_up() -> None:
    """The reading of a long prompt takes minutes on a CPU."""
    closed = asyncio.Event()

    async def reading_the_prompt() -> AsyncGenerator[Event]:
        try:
            await asyncio.Event().wait()
            yield NotImplemented
        finally:
            closed.set()

    async def scenario() -> None:
        request: Any = GoneRequest()
        async with asyncio.timeout(PATIENCE_S):
            with pytest.raises(ServiceError, match="went away"):
                await streamed(request, reading_the_prompt(), NotImplemented, NotImplemented, None)
            await closed.wait()

    asyncio.run(scenario())
