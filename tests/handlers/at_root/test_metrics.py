"""What Prometheus reads. Of servers of their own: streams and jobs that others' tests have left may end meanwhile."""

from collections.abc import Callable

from prometheus_client.parser import text_string_to_metric_families

from tests.events import Listener
from tests.server import Server, wait_until

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def _samples(server: Server) -> Samples:
    reply = server.http.get(f"http://localhost:{server.port}/metrics")
    assert reply.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(reply.text)
        for sample in family.samples
    }


def _value(samples: Samples, name: str, **labels: str) -> float:
    return samples[name, frozenset(labels.items())]


def test_requests_are_counted_by_their_routes_and_jobs_by_their_states(start_server: Callable[..., Server]) -> None:
    server = start_server("--slots", "0")
    route = "/api/training/status/{job_id}"
    server.status(server.start())
    _samples(server)
    before = _samples(server)

    jobs = [server.start() for _ in range(5)]
    for job_id in jobs:
        assert server.status(job_id)["status"] == "pending"
    server.post(f"/training/stop/{jobs[0]}")
    for unknown in ("a", "b", "c"):
        server.http.request(f"BREW{unknown.upper()}", f"/coffee/{unknown}")
    with Listener(server) as listener:
        listener.until(lambda event: event.name == "machine")
        wait_until(lambda: _value(_samples(server), "lathe_event_streams") == 1, "the one reader is counted")
    after = _samples(server)

    def grown(name: str, **labels: str) -> float:
        return _value(after, name, **labels) - before.get((name, frozenset(labels.items())), 0.0)

    assert grown("lathe_http_requests_total", method="GET", route=route, status="200") == 5
    assert grown("lathe_http_request_duration_seconds_count", method="GET", route=route) == 5
    assert grown("lathe_http_requests_total", method="other", route="(none)", status="404") == 3
    assert (grown("lathe_jobs", status="pending"), grown("lathe_jobs_ended_total", status="cancelled")) == (4, 1)
    assert _value(after, "lathe_queue_oldest_wait_seconds") > 0
    assert _value(after, "lathe_process_memory_bytes", what="server") > 10e6
    labels = {label for _, labels in after for label in labels}
    assert not any(job_id in value for _, value in labels for job_id in jobs)
    streams = ("lathe_http_request_duration_seconds_count", frozenset({("method", "GET"), ("route", "/api/events")}))
    assert after.get(streams) == before.get(streams)  # those that were refused were no streams


def test_more_requests_make_no_more_series(start_server: Callable[..., Server]) -> None:
    server = start_server("--slots", "0")
    server.get("/training/status/none")
    _samples(server)
    before = _samples(server)

    for number in range(100):
        server.get(f"/training/status/{number}")
        server.get(f"/nothing/{number}")

    new = _samples(server).keys() - before.keys()
    assert {name for name, _ in new} <= {
        "lathe_http_requests_total",
        "lathe_http_request_duration_seconds_bucket",
        "lathe_http_request_duration_seconds_count",
        "lathe_http_request_duration_seconds_sum",
    }
    assert len({labels for name, labels in new if name.endswith("_total")}) <= 1  # paths that there are not
