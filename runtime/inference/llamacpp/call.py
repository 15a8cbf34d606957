"""One request that llama-server answers: a thread of its own reads the events, the engine takes them."""

import http.client
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from runtime.inference.llamacpp.server import Connection

EVENT = b"data: "


class Likely(Struct):
    """A token's entry among `completion_probabilities`."""

    id: int
    logprob: float
    top_logprobs: list["Likely"] = []


class Piece(Struct):
    """The next of the text; the last one has `stop`. Tokens that end amid a character have no piece of their own."""

    content: str
    tokens: list[int] = []
    stop: bool = False
    stop_type: str = "none"
    tokens_predicted: int = 0
    completion_probabilities: list[Likely] = []
    prompt_progress: Any = None
    """Where it tells that it still reads the prompt, and nothing else."""


class Failed(Struct, frozen=True):
    """Why, in llama-server's words; None where the connection broke."""

    message: str | None


Event = Piece | Failed


class Call:
    """`tell` is called by the thread that reads, with every event, Failed or a last Piece at the end."""

    def __init__(self, address: Path, body: dict[str, Any], tell: Callable[[Event], None]) -> None:
        """Raises OSError where nobody listens."""
        self._connection = Connection(address)
        self._connection.connect()
        self._socket = self._connection.sock  # which http.client forgets once it reads a reply
        self._body = msgspec.json.encode(body)
        self._tell = tell
        threading.Thread(target=self._read, name="completion", daemon=True).start()

    def close(self) -> None:
        """Have llama-server give up what is left."""
        with suppress(OSError):  # it is closed already
            self._socket.shutdown(socket.SHUT_RDWR)

    def _read(self) -> None:
        try:
            for event in self._events():
                self._tell(event)
        except (OSError, http.client.HTTPException, msgspec.MsgspecError):
            self._tell(Failed(None))
        finally:
            self._connection.close()

    def _events(self) -> Iterator[Event]:
        self._connection.request("POST", "/completion", self._body, {"Content-Type": "application/json"})
        reply = self._connection.getresponse()
        if reply.status != http.client.OK:
            yield Failed(_reason(reply.read()))
            return
        for line in reply:
            if line.startswith(EVENT):
                event = _decoded(line.removeprefix(EVENT))
                yield event
                if isinstance(event, Failed) or event.stop:
                    return
        raise http.client.IncompleteRead(b"")


class _Error(Struct):
    message: str


class _Refusal(Struct):
    error: _Error


def _decoded(text: bytes) -> Event:
    try:
        return msgspec.json.decode(text, type=Piece)
    except msgspec.ValidationError:
        return Failed(_reason(text))


def _reason(text: bytes) -> str:
    try:
        return msgspec.json.decode(text, type=_Refusal).error.message
    except msgspec.MsgspecError:
        return text.decode(errors="replace")[:500]
