"""A backlog on disk that grows: cost per message, and memory, which shall not grow with it."""

from __future__ import annotations

from itertools import repeat

from bench.load import publish_command
from bench.scale.node import node
from bench.scale.ranges import Plot, Range
from bench.scale.traffic import connected, publish, subscribed

SIZE = 16
BATCH = 1000


def measure(backlog: int, messages: int) -> dict[str, float]:
    """Publishes all of it, then consumes it; a small one several times, as a moment is hard to measure."""
    times = max(1, messages // backlog)
    published = delivered = memory = 0.0
    with node(mem_queue_size=0) as nsqd:
        nsqd.topic("backlog", "ch")
        producers = connected(nsqd, 2)
        command = publish_command("backlog", SIZE, BATCH, http=False, varied=False)
        with subscribed(nsqd, [("backlog", "ch")] * 2, SIZE) as consumers:
            for _ in range(times):
                start = nsqd.cpu()
                publish(producers, repeat(command, backlog // BATCH))
                between = nsqd.cpu()
                memory = max(memory, nsqd.memory_mb())
                consumers.ready(2500)
                consumers.take(backlog)
                consumers.ready(0)
                consumers.settle()
                published += between - start
                delivered += nsqd.cpu() - between
                memory = max(memory, nsqd.memory_mb())
    return {
        "published": published / (times * backlog) * 1e6,
        "delivered": delivered / (times * backlog) * 1e6,
        "memory": memory,
    }


BACKLOG = Range(
    "backlog",
    (1000, 10_000, 100_000, 1_000_000, 10_000_000),
    (1000, 5000),
    measure,
    (
        Plot(
            "backlog",
            "A backlog on disk: cost per message",
            "messages waiting on disk",
            "CPU per message, µs",
            {"delivered": "read back, delivered and finished", "published": f"published, {BATCH} per MPUB"},
        ),
        Plot(
            "backlog-memory",
            "A backlog on disk: memory of nsqd",
            "messages waiting on disk",
            "resident memory, MB",
            {"memory": "the most of before and after reading it back"},
        ),
    ),
)
