"""Producers and consumers that become many."""

from __future__ import annotations

from itertools import repeat

from bench.load import publish_command
from bench.scale.node import node
from bench.scale.ranges import Plot, Range
from bench.scale.traffic import connected, publish, subscribed

SIZE = 200
BATCH = 20
HELD = 10
"""RDY of consumers that find a backlog."""
SLOW = 20
"""How many times fewer messages are moved where they travel alone: each costs as many times more."""
MANY = (1, 3, 10, 30, 100, 300, 1000, 2000)


def command(count: int) -> bytes:
    """What publishes so many messages to the topic of these ranges."""
    return publish_command("clients", SIZE, count, http=False, varied=False)


def of_producers(producers: int, messages: int) -> dict[str, float]:
    """Each producer waits for its OK before it sends again."""
    with node() as nsqd:
        nsqd.topic("clients", "ch")
        connections = connected(nsqd, producers)
        found = {}
        for name, batch, moved in ("batches", BATCH, messages), ("alone", 1, messages // SLOW):
            commands = max(moved // batch, producers)
            start = nsqd.cpu()
            publish(connections, repeat(command(batch), commands))
            found[name] = (nsqd.cpu() - start) / (commands * batch) * 1e6
    return found


def of_consumers(consumers: int, messages: int) -> dict[str, float]:
    """First with a backlog, then all of them hungry while messages come one by one."""
    with node() as nsqd:
        nsqd.topic("clients", "ch")
        (producer,) = connected(nsqd, 1)
        publish([producer], repeat(command(100), messages // 100))
        nsqd.post("/channel/pause?topic=clients&channel=ch")
        with subscribed(nsqd, [("clients", "ch")] * consumers, SIZE) as all_of_them:
            all_of_them.ready(HELD)
            all_of_them.settle()
            start = nsqd.cpu()
            nsqd.post("/channel/unpause?topic=clients&channel=ch")
            all_of_them.take(messages // 100 * 100)
            backlog = (nsqd.cpu() - start) / messages
            all_of_them.settle()
            alone, start = messages // SLOW, nsqd.cpu()
            for _ in range(alone):
                publish([producer], [command(1)])
                all_of_them.take(1)
            return {"backlog": backlog * 1e6, "hungry": (nsqd.cpu() - start) / alone * 1e6}


PRODUCERS = Range(
    "producers",
    MANY,
    (1, 10),
    of_producers,
    (
        Plot(
            "producers",
            "Producers at work at once: cost per message",
            "producers, each waiting for its OK",
            "CPU per message, µs",
            {"alone": "PUB", "batches": f"MPUB of {BATCH}"},
        ),
    ),
)
CONSUMERS = Range(
    "consumers",
    MANY,
    (1, 10),
    of_consumers,
    (
        Plot(
            "consumers",
            "Consumers of one channel: cost per message",
            "consumers",
            "CPU per message, µs",
            {
                "hungry": "one PUB at a time, all consumers waiting",
                "backlog": f"from a backlog, RDY {HELD}",
            },
        ),
    ),
)
