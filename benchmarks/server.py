"""`python -m benchmarks.server`: how soon a server answers, and how fast while a model loads and generates.

Starts the server several times on an empty data root. Then asks `GET /api/training/jobs` in blocks, in turn idle and
while the inference worker is started, loads tiny-python and generates; prints medians, 99th percentiles, their ratio.
"""

import argparse
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from http import HTTPStatus
from http.client import HTTPConnection
from pathlib import Path

import httpx

CHECKOUT = Path(__file__).resolve().parent.parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each measurement (default: %(default)s)")
    rounds = parser.parse_args().rounds
    starts: list[float] = []
    idle: list[float] = []
    busy: list[float] = []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as root, server(Path(root), starts, "--no-spare-trainer") as http:
            idle += ask_for(http, seconds=3)
            busy += ask_while_generating(http)
    print(f"start to first answer: {median_and_range([1000 * start for start in starts])} ms, {rounds} starts")
    for name, latencies in (("idle", idle), ("while a model loads and generates", busy)):
        print(
            f"GET /api/training/jobs {name}: median {1000 * statistics.median(latencies):.2f} ms, "
            f"99th percentile {1000 * percentile(latencies, 99):.2f} ms, {len(latencies)} requests"
        )
    print(f"ratio of the medians: {statistics.median(busy) / statistics.median(idle):.2f}")


@contextmanager
def server(root: Path, starts: list[float], *options: str) -> Iterator[httpx.Client]:
    """A server of its own; its time from start to first answer is added to `starts`."""
    with reserved_port() as port:
        began = time.monotonic()
        process = launch(port, "main.py", "--root", str(root), "--port", str(port), *options)
        starts.append(time.monotonic() - began)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}/api", timeout=120) as http:
            yield http
    finally:
        process.terminate()
        process.wait()


def launch(port: int, *command: str, log: Path | None = None) -> subprocess.Popen[bytes]:
    """Start the server of a command of Python's, and wait until it answers on its port.

    `log` takes what it prints. Raises RuntimeError when it ends by itself.
    """
    with log.open("ab") if log else nullcontext(subprocess.DEVNULL) as output:
        process = subprocess.Popen([sys.executable, *command], cwd=CHECKOUT, stdout=output, stderr=output)
    while not _answers(port):
        if process.poll() is not None:
            raise RuntimeError(f"the server ended by itself, with exit code {process.returncode}: {' '.join(command)}")
        time.sleep(0.005)
    return process


def _answers(port: int) -> bool:
    connection = HTTPConnection("127.0.0.1", port, timeout=120)
    try:
        connection.request("GET", "/api/health")
        return connection.getresponse().status == HTTPStatus.OK
    except OSError:
        return False
    finally:
        connection.close()


@contextmanager
def reserved_port(port: int = 0) -> Iterator[int]:
    """A port that nobody is given before the end of this block: no other server, and no client's connection.

    It is a free one where `port` is 0; else one where a server has just been killed. A server listens there beside it,
    as both say SO_REUSEADDR. Elsewhere than on Linux that is not enough, and somebody may be faster.
    """
    with socket.socket() as reserved:
        if port:  # connections of the server before linger there
            reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        reserved.bind(("127.0.0.1", port))
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        port = int(reserved.getsockname()[1])
        if sys.platform != "linux":
            reserved.close()
        yield port


def free_port() -> int:
    """For a program that may not say SO_REUSEADDR."""
    with reserved_port() as port:
        return port


def answers(http: httpx.Client) -> bool:
    try:
        return http.get("/health").status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


def ask_for(http: httpx.Client, seconds: float) -> list[float]:
    end = time.monotonic() + seconds
    latencies = []
    while time.monotonic() < end:
        latencies.append(ask(http))
    return latencies


def ask_from_elsewhere(url: str, seconds: float) -> list[float]:
    """For another process than the one that keeps the server busy, whose own work would be measured, too."""
    with httpx.Client(base_url=url, timeout=120) as http:
        return ask_for(http, seconds)


def ask_while_generating(http: httpx.Client) -> list[float]:
    done = threading.Event()

    def generate() -> None:
        for _ in range(3):
            body = {"prompt": "def f(", "model_name": "tiny-python", "max_new_tokens": 200}
            http.post("/generate", json=body).raise_for_status()
        done.set()

    generating = threading.Thread(target=generate)
    generating.start()
    latencies = []
    while not done.is_set():
        latencies.append(ask(http))
    generating.join()
    return latencies


def ask(http: httpx.Client) -> float:
    """One question in a hundredth of a second: a client that asks without pause would itself be the load."""
    began = time.monotonic()
    http.get("/training/jobs").raise_for_status()
    took = time.monotonic() - began
    time.sleep(0.01)
    return took


def percentile(values: list[float], rank: int) -> float:
    return statistics.quantiles(values, n=100)[rank - 1]


def median_and_range(values: list[float]) -> str:
    return f"median {statistics.median(values):.0f}, {min(values):.0f} to {max(values):.0f}"


if __name__ == "__main__":
    main()
