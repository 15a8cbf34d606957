import gzip
import http.client
from contextlib import closing

from tests.server import PATIENCE_S, Server


def _raw(server: Server, path: str, accept: str) -> tuple[str | None, str | None, bytes]:
    """Content-Encoding, Vary and the body as it was sent."""
    with closing(http.client.HTTPConnection("localhost", server.port, timeout=PATIENCE_S)) as connection:
        connection.request("GET", path, headers={"Accept-Encoding": accept})
        reply = connection.getresponse()
        return reply.headers["Content-Encoding"], reply.headers["Vary"], reply.read()


def test_long_answers_are_compressed_for_who_takes_them_so(queueing: Server) -> None:
    for _ in range(10):
        queueing.start()

    encoding, vary, compressed = _raw(queueing, "/api/training/jobs", "gzip, br")
    plain = _raw(queueing, "/api/training/jobs", "identity")

    assert (encoding, vary) == ("gzip", "Accept-Encoding")
    assert plain[0] is None
    assert gzip.decompress(compressed) == plain[2]
    assert len(compressed) < len(plain[2]) / 3


def test_short_answers_and_streams_are_not(queueing: Server) -> None:
    assert _raw(queueing, "/api/health", "gzip")[0] is None
    with closing(http.client.HTTPConnection("localhost", queueing.port, timeout=PATIENCE_S)) as connection:
        connection.request("GET", "/api/events", headers={"Accept-Encoding": "gzip"})
        reply = connection.getresponse()
        assert reply.headers["Content-Encoding"] is None
        assert reply.readline() == b"retry: 1000\n"
        reply.close()
