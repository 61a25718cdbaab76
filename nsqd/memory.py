"""Memory and garbage collection of this process, under the names that dashboards of the original read.

``docs/monitoring.md`` has the table of what each figure means here. All of it is cheap with millions of
objects: nothing walks over them.
"""

from __future__ import annotations

import gc
import sys
import time
from collections import deque
from math import ceil

from nsqcore.process_memory import resident_bytes

PAUSES_KEPT = 256
"""As many as the original's runtime remembers."""
_TRACKED_BYTES = 64
"""Of an object that the collector counts: a small tuple or bound method, its header included."""


class Memory:
    """Between :meth:`watch` and :meth:`close` every collection is timed."""

    def __init__(self) -> None:
        self._pauses: deque[int] = deque(maxlen=PAUSES_KEPT)  # ns
        self._began = 0

    def watch(self) -> None:
        """From now on the collector tells when it starts and stops."""
        gc.callbacks.append(self._observe)

    def close(self) -> None:
        """No more of that; twice is fine."""
        if self._observe in gc.callbacks:
            gc.callbacks.remove(self._observe)

    def _observe(self, phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            self._began = time.perf_counter_ns()
        elif self._began:
            self._pauses.append(time.perf_counter_ns() - self._began)

    def figures(self) -> dict[str, int]:
        """The keys of ``/stats``, in its order."""
        resident, peak = resident_bytes()
        threshold, allocated = gc.get_threshold()[0], gc.get_count()[0]
        pauses = sorted(self._pauses)
        return {
            "heap_objects": sys.getallocatedblocks(),
            "heap_idle_bytes": peak - resident,
            "heap_in_use_bytes": resident,
            "heap_released_bytes": peak - resident,
            "gc_pause_usec_100": _percentile(pauses, 1.0),
            "gc_pause_usec_99": _percentile(pauses, 0.99),
            "gc_pause_usec_95": _percentile(pauses, 0.95),
            "next_gc_bytes": resident + max(0, threshold - allocated) * _TRACKED_BYTES,
            "gc_total_runs": sum(generation["collections"] for generation in gc.get_stats()),
        }


def _percentile(pauses: list[int], part: float) -> int:
    return pauses[ceil(len(pauses) * part) - 1] // 1000 if pauses else 0
