"""A nsqd as a process for the tests of tools, and what they ask of it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nsqclient import Consumer
from tests.support.fetch import fetch_json, post
from tests.support.processes import DaemonProcess, spawn

FREE = ("--tcp-address=127.0.0.1:0", "--http-address=127.0.0.1:0", "--broadcast-address=127.0.0.1")


@contextmanager
def running(program: str | Path, folder: Path, *flags: str) -> Iterator[DaemonProcess]:
    """One that runs while the block runs: ``nsqd``, or the path of an original."""
    folder.mkdir(exist_ok=True)
    with spawn(program, *FREE, f"--data-path={folder}", *flags) as daemon:
        yield daemon


def publish(nsqd: DaemonProcess, topic: str, *bodies: bytes) -> None:
    """By HTTP, in this order."""
    head = len(bodies).to_bytes(4, "big")
    batch = head + b"".join(len(body).to_bytes(4, "big") + body for body in bodies)
    status, answer = post(nsqd.http, f"/mpub?topic={topic}&binary=true", batch)
    assert status == 200, answer


def make_channel(nsqd: DaemonProcess, topic: str, channel: str) -> None:
    """Both are there from now on."""
    assert post(nsqd.http, f"/topic/create?topic={topic}")[0] == 200
    assert post(nsqd.http, f"/channel/create?topic={topic}&channel={channel}")[0] == 200


def topics(nsqd: DaemonProcess) -> dict[str, Any]:
    """The statistics of its topics, by name."""
    return {topic["topic_name"]: topic for topic in fetch_json(nsqd.http, "/stats?format=json")["topics"]}


def counts(nsqd: DaemonProcess, topic: str, channel: str) -> dict[str, Any]:
    """The statistics of a channel."""
    found: dict[str, Any] = next(c for c in topics(nsqd)[topic]["channels"] if c["channel_name"] == channel)
    return found


def producers(nsqd: DaemonProcess, topic: str) -> list[dict[str, Any]]:
    """The connections that have published to a topic."""
    found = fetch_json(nsqd.http, "/stats?format=json")["producers"]
    return [one for one in found if topic in {count["topic"] for count in one["pub_counts"]}]


def take(nsqd: DaemonProcess, topic: str, count: int, channel: str = "check") -> list[bytes]:
    """So many bodies of a topic, which are finished; raises TimeoutError when there are not as many."""

    async def receive() -> list[bytes]:
        bodies = list[bytes]()
        async with Consumer(topic, channel, nsqd.tcp, max_in_flight=200) as consumer:
            async with asyncio.timeout(20):
                while len(bodies) < count:
                    message = await consumer.get()
                    message.finish()
                    bodies.append(message.body)
        return bodies

    return asyncio.run(receive())
