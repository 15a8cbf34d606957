"""What this server has counted and timed since it began, for /metrics."""

import threading
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Sequence

FAST_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
REQUEST_S = (*FAST_S, 10.0, 30.0, 60.0)


class Histogram:
    """How many figures were at most as large as each bound, and their sum. Its meter's lock guards it."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.sum = 0.0
        self._counts = [0] * (len(bounds) + 1)

    def observe(self, figure: float) -> None:
        self._counts[bisect_left(self.bounds, figure)] += 1
        self.sum += figure

    def buckets(self) -> list[tuple[str, float]]:
        """Bound and count, of all that are below it, as Prometheus wants them."""
        found, total = [], 0
        for bound, count in zip((*map(str, self.bounds), "+Inf"), self._counts, strict=True):
            total += count
            found.append((bound, float(total)))
        return found


class Meter:
    """Safe to use from several threads; `lock` is to be held while its figures are read."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.requests: Counter[tuple[str, str, str]] = Counter()
        """By method, route and status."""
        self.durations: defaultdict[tuple[str, str], Histogram] = defaultdict(lambda: Histogram(REQUEST_S))
        """By method and route."""
        self.prompt_tokens = 0
        self.generated_tokens = 0
        self.first_token = Histogram(REQUEST_S)
        self.next_token = Histogram(FAST_S)

    def answered(self, method: str, route: str, status: int, duration_s: float | None) -> None:
        """A request was. A stream has no duration: it lasts for as long as its reader likes."""
        with self.lock:
            self.requests[method, route, str(status)] += 1
            if duration_s is not None:
                self.durations[method, route].observe(duration_s)

    def completed(self, prompt_tokens: int, tokens: int, first_s: float | None, rest_s: float) -> None:
        """A completion was. `first_s` is when its first text came, of one that was streamed, and `rest_s` the time
        from then on.
        """
        with self.lock:
            self.prompt_tokens += prompt_tokens
            self.generated_tokens += tokens
            if first_s is not None:
                self.first_token.observe(first_s)
                if tokens > 1:
                    self.next_token.observe(rest_s / (tokens - 1))
