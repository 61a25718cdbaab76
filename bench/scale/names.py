"""Topics and channels that become many, at work and at rest."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import cycle, islice

from bench.load import publish_command
from bench.scale.node import node
from bench.scale.ranges import Plot, Range
from bench.scale.traffic import connected, publish, subscribed

SIZE = 200
BATCH = 10
REST_S = 5
"""Seconds at rest that are measured, and of the heartbeat interval: each consumer has one heartbeat in them."""
MOST_CONSUMERS = 2000


def of_topics(topics: int, messages: int) -> dict[str, float]:
    """The same number of batches, to one topic after the other."""
    names = [f"t{n}" for n in range(topics)]
    commands = max(messages // BATCH, topics)
    with node() as nsqd:
        nsqd.create(names, ["ch"])
        producers = connected(nsqd, 4)
        batches = [publish_command(name, SIZE, BATCH, http=False, varied=False) for name in names]
        publish(producers, batches)
        start = nsqd.cpu()
        publish(producers, islice(cycle(batches), commands))
        return {"published": (nsqd.cpu() - start) / (commands * BATCH) * 1e6}


def of_channels(channels: int, messages: int) -> dict[str, float]:
    """The same number of copies, of fewer messages the more channels there are."""
    names = [f"c{n}" for n in range(channels)]
    batches = max(2, messages // 100 // channels)
    copies = batches * 100 * channels
    with node() as nsqd:
        nsqd.topic("channels", *names)
        producers = connected(nsqd, 2)
        with subscribed(nsqd, [("channels", name) for name in names], SIZE) as consumers:
            start = nsqd.cpu()
            publish(producers, [publish_command("channels", SIZE, 100, http=False, varied=False)] * batches)
            between = nsqd.cpu()
            consumers.ready(2500)
            consumers.take(copies)
            return {
                "published": (between - start) / copies * 1e6,
                "delivered": (nsqd.cpu() - between) / copies * 1e6,
            }


def at_rest(count: int, messages: int) -> dict[str, float]:
    """So many topics that nobody uses; then so many consumers of one of them, with nothing to do."""
    window = REST_S if messages >= 100_000 else 1
    with node() as nsqd:
        nsqd.create([f"t{n}" for n in range(count)], ["ch"])
        time.sleep(window)
        found = {"topics": _rest(nsqd.cpu, window)}
    if count <= MOST_CONSUMERS:
        with node() as nsqd:
            nsqd.topic("t", "ch")
            with subscribed(nsqd, [("t", "ch")] * count, SIZE, heartbeat_ms=window * 1000) as consumers:
                consumers.ready(1)
                found["consumers"] = _rest(nsqd.cpu, window)
    return found


def _rest(cpu: Callable[[], float], seconds: float) -> float:
    """Percent of a core over so many seconds."""
    began, start = time.perf_counter(), cpu()
    time.sleep(seconds)
    return (cpu() - start) / (time.perf_counter() - began) * 100


TOPICS = Range(
    "topics",
    (1, 10, 100, 1000, 2000, 5000),
    (1, 20),
    of_topics,
    (
        Plot(
            "topics",
            "Topics in use: cost per message",
            "topics, a batch to each in turn",
            "CPU per message, µs",
            {"published": f"published, {BATCH} per MPUB"},
        ),
    ),
)
CHANNELS = Range(
    "channels",
    (1, 2, 5, 10, 20, 50, 100),
    (1, 5),
    of_channels,
    (
        Plot(
            "channels",
            "Channels of a topic: cost per copy",
            "channels, each with a consumer",
            "CPU per copy, µs",
            {"delivered": "delivered and finished", "published": "published and copied"},
        ),
    ),
)
REST = Range(
    "rest",
    (1, 10, 100, 1000, MOST_CONSUMERS, 5000),
    (1, 10),
    at_rest,
    (
        Plot(
            "rest",
            "With nothing to do",
            "topics, or consumers",
            "CPU, % of one core",
            {"consumers": f"consumers, a heartbeat each {REST_S} s", "topics": "topics with a channel"},
            relative=False,
        ),
    ),
)
