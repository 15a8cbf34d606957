"""A client of the event stream, as far as a test needs one."""

import http.client
import json
import socket
import threading
from collections.abc import Callable
from typing import Any, Self

from msgspec import Struct

from tests.server import PATIENCE_S, Server


class Event(Struct):
    name: str
    data: Any
    id: str | None


class Listener:
    """Reads a stream until it is closed, from the server's side or this one."""

    def __init__(
        self, server: Server, query: str = "", last_event_id: str | None = None, *, ahead: int | None = None
    ) -> None:
        """`ahead` is how many bytes the system takes in that were not read yet; else megabytes."""
        self._connection = http.client.HTTPConnection("localhost", server.port, timeout=PATIENCE_S)
        self._connection.connect()
        if ahead is not None:
            self._connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, ahead)
        headers = {} if last_event_id is None else {"Last-Event-ID": last_event_id}
        self._connection.request("GET", f"/api/events{query}", headers=headers)
        self._reply = self._connection.getresponse()
        assert self._reply.status == 200, self._reply.read()
        self.last_id: str | None = last_event_id
        self.preamble = self._block()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._reply.close()
        self._connection.close()

    def next(self) -> Event | None:
        """The next event; None where the stream has ended."""
        try:
            block = self._block()
        except (OSError, http.client.HTTPException):  # the server was killed
            return None
        if not block:
            return None
        fields = dict(line.split(": ", 1) for line in block.splitlines())
        event = Event(fields["event"], json.loads(fields["data"]), fields.get("id"))
        self.last_id = event.id or self.last_id
        return event

    def until(self, wanted: Callable[[Event], bool]) -> list[Event]:
        """All events up to the first that is wanted."""
        heard = []
        while (event := self.next()) is not None:
            heard.append(event)
            if wanted(event):
                return heard
        raise AssertionError(f"the stream has ended after {heard[-5:]}")

    def in_background(self) -> tuple[threading.Thread, list[Event]]:
        """All events, as they come until the end."""
        heard: list[Event] = []

        def listen() -> None:
            while (event := self.next()) is not None:
                heard.append(event)

        thread = threading.Thread(target=listen)
        thread.start()
        return thread, heard

    def _block(self) -> str:
        lines = []
        while (line := self._reply.readline().decode()) not in {"\n", ""}:
            lines.append(line)
        return "".join(lines)
