"""Messages that wait for something but a consumer: in flight, deferred, timing out."""

from __future__ import annotations

import json
import struct
import time
import urllib.request
from itertools import repeat
from random import Random

from bench.load import OK, U32, Connection, publish_command
from bench.scale.node import Node, node
from bench.scale.ranges import Plot, Range
from bench.scale.traffic import Consumers, connected, publish, subscribed

SIZE = 200
DUE = struct.Struct(">d")
TICK_S = 0.01
PER_TICK = 100
"""Deferred messages that are published, and fall due, per tick: 10,000 a second."""
DELAY_MS = 100
LATE_MS = 50.0
TIMEOUT_S = 2.0
MARGIN_S = 0.5
"""Seconds after which all that times out at once has done so."""


def of_in_flight(held: int, messages: int) -> dict[str, float]:
    """One consumer holds so many; another's messages pass by; then the first finishes its own at random."""
    with node(max_rdy_count=1_000_000) as nsqd:
        nsqd.topic("t", "ch")
        batches = -(-(held + messages) // 100)
        publish(
            connected(nsqd, 1), repeat(publish_command("t", SIZE, 100, http=False, varied=False), batches)
        )
        with (
            subscribed(nsqd, [("t", "ch")], SIZE) as holder,
            subscribed(nsqd, [("t", "ch")], SIZE) as passing,
        ):
            holder.ready(held)
            ids = holder.hold(held)
            start = nsqd.cpu()
            passing.ready(100)
            passing.take(messages)
            found = {"passing": (nsqd.cpu() - start) / messages * 1e6}
            if held >= 1000:
                Random(held).shuffle(ids)
                holder.ready(0)
                passing.ready(0)
                passing.settle()
                start = nsqd.cpu()
                holder.connections[0].sendall(b"".join(b"FIN %b\n" % each for each in ids))
                holder.settle()
                found["finished"] = (nsqd.cpu() - start) / held * 1e6
    return found


def deferred_command(delay_ms: int, body: bytes) -> bytes:
    return b"DPUB t %d\n" % delay_ms + U32.pack(len(body)) + body


def of_deferred(waiting: int, messages: int) -> dict[str, float]:
    """So many wait for an hour while others, 10,000 a second, are deferred and fall due."""
    ticks = max(20, min(300, messages // PER_TICK))
    with node() as nsqd:
        nsqd.topic("t", "ch")
        (producer,) = connected(nsqd, 1)
        defer(producer, waiting)
        with subscribed(nsqd, [("t", "ch")], DUE.size) as consumers:
            consumers.ready(2500)
            start = nsqd.cpu()
            lateness = sorted(flow(producer, consumers, ticks))
            spent = nsqd.cpu() - start
    return {
        "cpu": spent / len(lateness) * 1e6,
        "late_p50": lateness[len(lateness) // 2] * 1000,
        "late_p99": lateness[len(lateness) * 99 // 100] * 1000,
    }


def defer(producer: Connection, waiting: int) -> None:
    """Publishes so many messages that fall due in an hour."""
    commands = deferred_command(3_600_000, bytes(DUE.size))
    for begun in range(0, waiting, 1000):
        count = min(1000, waiting - begun)
        producer.sendall(commands * count)
        expect_oks(producer, count)


def expect_oks(producer: Connection, count: int) -> None:
    """Waits for the answers of so many commands."""
    data = b""
    while len(data) < count * len(OK):
        data += producer.recv(count * len(OK) - len(data))
    if data != OK * count:
        raise SystemExit(f"bench: unexpected answer {data[:200]!r}")


def flow(producer: Connection, consumers: Consumers, ticks: int) -> list[float]:
    """Seconds by which each message came after it was due."""
    lateness: list[float] = []
    next_tick = time.perf_counter()
    for _ in range(ticks):
        due = time.perf_counter() + DELAY_MS / 1000
        producer.sendall(deferred_command(DELAY_MS, DUE.pack(due)) * PER_TICK)
        expect_oks(producer, PER_TICK)
        next_tick += TICK_S
        while (left := next_tick - time.perf_counter()) > 0:
            lateness += arrived(consumers, left)
    while len(lateness) < ticks * PER_TICK:
        lateness += arrived(consumers, 1)
    return lateness


def arrived(consumers: Consumers, seconds: float) -> list[float]:
    bodies = consumers.bodies(seconds)
    now = time.perf_counter()
    return [now - DUE.unpack(body)[0] for body in bodies]


def of_timeouts(at_once: int, messages: int) -> dict[str, float]:
    """A consumer takes so many twice and answers none of them: first alone, then beside a producer."""
    with node(max_rdy_count=1_000_000, msg_timeout=f"{TIMEOUT_S:g}s") as nsqd:
        nsqd.topic("t", "ch")
        nsqd.topic("other")
        (producer,) = connected(nsqd, 1)
        batches = -(-at_once // 100)
        publish([producer], repeat(publish_command("t", SIZE, 100, http=False, varied=False), batches))
        with subscribed(nsqd, [("t", "ch")], SIZE) as holder:
            hold(holder, at_once)
            start = nsqd.cpu()
            time.sleep(TIMEOUT_S + MARGIN_S)
            spent = nsqd.cpu() - start
            expect_nothing_in_flight(nsqd)
            hold(holder, at_once)
            slowest = slowest_publish(producer, TIMEOUT_S + MARGIN_S)
            expect_nothing_in_flight(nsqd)
    return {"cpu": spent / at_once * 1e6, "slowest": slowest * 1000}


def hold(holder: Consumers, count: int) -> None:
    """Takes so many messages and no more."""
    holder.ready(count)
    holder.hold(count)
    holder.ready(0)
    holder.settle()


def slowest_publish(producer: Connection, seconds: float) -> float:
    """The longest, in seconds, that a PUB waited for its OK, of one each 10 ms."""
    probe = publish_command("other", SIZE, 1, http=False, varied=False)
    end, slowest = time.perf_counter() + seconds, 0.0
    while (sent := time.perf_counter()) < end:
        publish([producer], [probe])
        took = time.perf_counter() - sent
        slowest = max(slowest, took)
        time.sleep(max(TICK_S - took, 0))
    return slowest


def expect_nothing_in_flight(nsqd: Node) -> None:
    with urllib.request.urlopen(f"http://{nsqd.http}/stats?format=json&topic=t", timeout=30) as answer:
        left = json.load(answer)["topics"][0]["channels"][0]["in_flight_count"]
    if left:
        raise SystemExit(f"bench: {left} messages did not time out")


IN_FLIGHT = Range(
    "in-flight",
    (1, 10, 100, 1000, 10_000, 30_000, 100_000),
    (1, 1000),
    of_in_flight,
    (
        Plot(
            "in-flight",
            "Messages in flight: cost per message",
            "messages held in flight by one consumer",
            "CPU per message, µs",
            {
                "passing": "another consumer's, delivered and finished",
                "finished": "the held, finished at random",
            },
        ),
    ),
)
DEFERRED = Range(
    "deferred",
    (1, 100, 1000, 10_000, 100_000, 300_000, 1_000_000),
    (1, 1000),
    of_deferred,
    (
        Plot(
            "deferred",
            "Messages deferred: cost per message",
            "messages that wait for an hour meanwhile",
            "CPU per message, µs",
            {"cpu": "DPUB, delivered when due and finished, 10,000/s"},
        ),
        Plot(
            "deferred-late",
            "Messages deferred: how late they come, 10,000/s",
            "messages that wait for an hour meanwhile",
            "after the time, ms",
            {"late_p99": "99th percentile", "late_p50": "median"},
            relative=False,
            limit=LATE_MS,
        ),
    ),
)
TIMEOUTS = Range(
    "timeouts",
    (1000, 3000, 10_000, 30_000, 100_000),
    (1000,),
    of_timeouts,
    (
        Plot(
            "timeouts",
            "Messages that time out at once: cost per message",
            "messages that time out at once",
            "CPU per message, µs",
            {"cpu": "timed out and queued again"},
        ),
        Plot(
            "timeouts-wait",
            "Messages that time out at once: what others wait",
            "messages that time out at once",
            "slowest answer to a PUB, ms",
            {"slowest": "of one PUB each 10 ms meanwhile"},
            relative=False,
            limit=LATE_MS,
        ),
    ),
)
