"""What a server has done, as text for Prometheus."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Sequence

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Histogram:
    """Counts of values up to each bound, as Prometheus has them."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = tuple(bounds)
        self.counts = [0] * len(self.bounds)
        self.sum = 0.0
        self.count = 0

    def observe(self, value: float) -> None:
        self.count += 1
        self.sum += value
        for i, bound in enumerate(self.bounds):
            if value <= bound:
                self.counts[i] += 1
                return

    def lines(self, name: str, labels: str = "") -> Iterator[str]:
        total = 0
        comma = "," if labels else ""
        for bound, count in zip(self.bounds, self.counts, strict=True):
            total += count
            yield f'{name}_bucket{{{labels}{comma}le="{bound:g}"}} {total}'
        yield f'{name}_bucket{{{labels}{comma}le="+Inf"}} {self.count}'
        yield f"{name}_sum{{{labels}}} {self.sum:.6f}" if labels else f"{name}_sum {self.sum:.6f}"
        yield f"{name}_count{{{labels}}} {self.count}" if labels else f"{name}_count {self.count}"


class Metrics:
    """Requests by endpoint and status, their time, the rows of batches, and what is in progress."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.requests: Counter[tuple[str, int]] = Counter()
        self.seconds: dict[str, Histogram] = {}
        self.rows = Histogram(ROWS)
        self.in_progress = 0

    def answered(self, endpoint: str, status: int, seconds: float) -> None:
        with self._lock:
            self.requests[endpoint, status] += 1
            self.seconds.setdefault(endpoint, Histogram(SECONDS)).observe(seconds)

    def batch(self, rows: int) -> None:
        with self._lock:
            self.rows.observe(rows)

    def text(self) -> str:
        with self._lock:
            return "\n".join(self._lines()) + "\n"

    def _lines(self) -> Iterator[str]:
        yield "# HELP lamina_requests_total Requests that were answered."
        yield "# TYPE lamina_requests_total counter"
        for (endpoint, status), count in sorted(self.requests.items()):
            yield f'lamina_requests_total{{endpoint="{endpoint}",status="{status}"}} {count}'
        yield "# HELP lamina_request_seconds Time from the request to the end of its answer."
        yield "# TYPE lamina_request_seconds histogram"
        for endpoint, found in sorted(self.seconds.items()):
            yield from found.lines("lamina_request_seconds", f'endpoint="{endpoint}"')
        yield "# HELP lamina_batch_rows Rows that the model computed at once."
        yield "# TYPE lamina_batch_rows histogram"
        yield from self.rows.lines("lamina_batch_rows")
        yield "# HELP lamina_requests_in_progress Requests that are being answered."
        yield "# TYPE lamina_requests_in_progress gauge"
        yield f"lamina_requests_in_progress {self.in_progress}"
