"""Messages that grow: cost per message while they are small, per byte when they are large."""

from __future__ import annotations

from itertools import repeat

from bench.load import publish_command
from bench.scale.node import node
from bench.scale.ranges import Plot, Range
from bench.scale.traffic import connected, publish, subscribed

LARGE = 4096
"""Bytes from which on the bytes of a message, and not its being one, are what costs."""
MOVED_BYTES = 200_000_000
BATCH_BYTES = 2 << 20


def measure(size: int, messages: int) -> dict[str, float]:
    """Publishes in batches, then consumes, all of it in memory."""
    batch = max(2, min(100, BATCH_BYTES // size))
    batches = max(1, min(messages, MOVED_BYTES // size) // batch)
    moved = batches * batch
    with node() as nsqd:
        nsqd.topic("size", "ch")
        producers = connected(nsqd, 2)
        with subscribed(nsqd, [("size", "ch")] * 2, size) as consumers:
            start = nsqd.cpu()
            publish(
                producers, repeat(publish_command("size", size, batch, http=False, varied=False), batches)
            )
            between = nsqd.cpu()
            consumers.ready(2500)
            consumers.take(moved)
            consumers.settle()
            published, delivered = (between - start) / moved, (nsqd.cpu() - between) / moved
    return {
        "published": published * 1e6,
        "delivered": delivered * 1e6,
        "published_byte": published / size * 1e9,
        "delivered_byte": delivered / size * 1e9,
    }


SIZE = Range(
    "size",
    (16, 64, 256, 1024, LARGE, 16_384, 65_536, 262_144, 1_048_576),
    (16, LARGE, 65_536),
    measure,
    (
        Plot(
            "size",
            "Small messages: cost per message",
            "size of a message, bytes",
            "CPU per message, µs",
            {"published": "published, 100 per MPUB", "delivered": "delivered and finished"},
            until=LARGE,
            relative=False,
        ),
        Plot(
            "size-bytes",
            "Large messages: cost per byte",
            "size of a message, bytes",
            "CPU per byte, ns",
            {"published_byte": "published, 0.4 to 2 MB per MPUB", "delivered_byte": "delivered and finished"},
            since=LARGE,
        ),
    ),
)
