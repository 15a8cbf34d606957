"""What /metrics tells: read when it is asked for, from what the service knows anyway. It has no label for each job."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import psutil
from prometheus_client import CollectorRegistry, GCCollector, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from runtime.process import memory
from runtime.server import occupants
from runtime.server.meter import Histogram
from runtime.server.service import Service
from state import clock, jobs
from state.version import VERSION

STATES: tuple[jobs.JobState, ...] = ("pending", "running", "paused", "completed", "failed", "cancelled")
MB = 2**20


def exposed(service: Service) -> bytes:
    """In Prometheus' text format."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    GCCollector(registry=registry)
    registry.register(_Lathe(service))
    return generate_latest(registry)


class _Lathe(Collector):
    def __init__(self, service: Service) -> None:
        self._service = service

    def collect(self) -> Iterator[Metric]:
        yield from self._machine()
        yield from self._jobs()
        yield from self._training()
        yield from self._requests()
        yield from self._inference()

    def _machine(self) -> Iterator[Metric]:
        service = self._service
        yield _labelled(
            GaugeMetricFamily("lathe_info", "This server", labels=["version", "device"]),
            {(VERSION, service.machine.device): 1},
        )
        busy = service.queue.busy()
        yield _labelled(
            GaugeMetricFamily("lathe_slots", "Jobs that can train side by side", labels=["state"]),
            {("busy",): busy, ("free",): max(0, service.queue.slots - busy)},
        )
        yield GaugeMetricFamily("lathe_memory_free_bytes", "Memory that a process may still take", memory.free())
        disk = psutil.disk_usage(str(service.root.path))
        yield GaugeMetricFamily("lathe_disk_free_bytes", "Free on the data root's disk", disk.free)
        taken: Counter[tuple[str, ...]] = Counter()
        for process in occupants.found(service.index.known_jobs(service.trainers.living)):
            taken[process.what,] += process.memory_mb * MB
        yield _labelled(
            GaugeMetricFamily("lathe_process_memory_bytes", "Resident memory of Lathe's processes", labels=["what"]),
            taken,
        )
        yield GaugeMetricFamily("lathe_event_streams", "Readers of /api/events", service.lookout.streams)

    def _jobs(self) -> Iterator[Metric]:
        index = self._service.index
        yield _labelled(
            GaugeMetricFamily("lathe_jobs", "Jobs by their status", labels=["status"]),
            {(state,): index.count_jobs(state) for state in STATES},
        )
        yield _labelled(
            CounterMetricFamily("lathe_jobs_ended", "Jobs that have ended since the server began", labels=["status"]),
            {(state,): index.ended[state] for state in STATES if state in jobs.FINISHED},
        )
        waiting = (entry.created_at for entry in index.unfinished() if entry.status.status == "pending")
        oldest = next(waiting, None)
        wait_s = 0.0 if oldest is None else (clock.now() - clock.aware(oldest)).total_seconds()
        yield GaugeMetricFamily("lathe_queue_oldest_wait_seconds", "Since when the next job waits", max(0.0, wait_s))

    def _training(self) -> Iterator[Metric]:
        index = self._service.index
        running = [entry.status for entry in index.jobs("running")]
        yield CounterMetricFamily("lathe_trained_steps", "Optimizer steps since the server began", index.steps_taken)
        yield CounterMetricFamily("lathe_trained_tokens", "Target tokens since the server began", index.tokens_trained)
        speed = sum(status.tokens_per_second or 0.0 for status in running)
        yield GaugeMetricFamily("lathe_training_tokens_per_second", "Target tokens, of all running jobs", speed)
        peak = sum(status.memory_mb or 0.0 for status in running) * MB
        yield GaugeMetricFamily("lathe_training_memory_bytes", "Peaks of all running jobs", peak)

    def _requests(self) -> Iterator[Metric]:
        meter = self._service.meter
        with meter.lock:
            yield _labelled(
                CounterMetricFamily("lathe_http_requests", "Answers", labels=["method", "route", "status"]),
                meter.requests,
            )
            took = HistogramMetricFamily(
                "lathe_http_request_duration_seconds", "Time to the whole answer", labels=["method", "route"]
            )
            for labels, histogram in meter.durations.items():
                took.add_metric(labels, histogram.buckets(), histogram.sum)
        yield took

    def _inference(self) -> Iterator[Metric]:
        meter, worker = self._service.meter, self._service.worker
        yield GaugeMetricFamily("lathe_inference_running", "Whether the worker is there", float(worker.is_running))
        yield GaugeMetricFamily("lathe_completions_running", "Completions asked for and not done", worker.in_flight)
        with meter.lock:
            yield CounterMetricFamily("lathe_prompt_tokens", "Tokens of prompts", meter.prompt_tokens)
            yield CounterMetricFamily("lathe_generated_tokens", "Tokens of completions", meter.generated_tokens)
            yield _alone("lathe_time_to_first_token_seconds", "Of streamed completions", meter.first_token)
            yield _alone("lathe_time_per_output_token_seconds", "Of streamed completions", meter.next_token)


def _alone(name: str, text: str, histogram: Histogram) -> Metric:
    return HistogramMetricFamily(name, text, buckets=histogram.buckets(), sum_value=histogram.sum)


Labelled = GaugeMetricFamily | CounterMetricFamily


def _labelled(family: Labelled, values: Mapping[Any, float]) -> Metric:
    """Values by a tuple of their labels."""
    for labels, value in values.items():
        family.add_metric(labels, value)
    return family
