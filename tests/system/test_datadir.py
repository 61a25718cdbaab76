"""Data folders handed to and fro between ours and the original: every message, with its attempts, in both directions."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from nsqcore.wire.frames import WireMessage
from tests.support.history import PATIENCE_S, connect, drain, part, post, stats
from tests.support.needs import original
from tests.support.processes import DaemonProcess, spawn
from tests.system.waiting import until

OURS, ORIGINAL = "ours", "original"
SMALL = ("--mem-queue-size=20", "--max-bytes-per-file=4096", "--sync-timeout=50ms")
PORTABLE = ("--portable-exit",)
SHORT_MS = 1500


@contextmanager
def running(program: str, folder: Path, *flags: str) -> Iterator[DaemonProcess]:
    """One life; it is ended in order."""
    addresses = ("--tcp-address=127.0.0.1:0", "--http-address=127.0.0.1:0", "--broadcast-address=127.0.0.1")
    command = original("nsqd") if program == ORIGINAL else "nsqd"
    with spawn(command, f"--data-path={folder}", *addresses, *SMALL, *flags) as daemon:
        yield daemon


class Ledger:
    """What topic ``t`` was given, and what its channels ``c`` and ``paused`` still owe."""

    def __init__(self) -> None:
        self.published = 0
        self.owed: dict[str, Counter[bytes]] = {"c": Counter(), "paused": Counter()}
        self.deliveries: Counter[bytes] = Counter()
        """On ``c``."""

    def bodies(self, count: int) -> list[bytes]:
        made = [b"%05d " % n + b"x" * (n % 211) for n in range(self.published, self.published + count)]
        self.published += count
        for owed in self.owed.values():
            owed.update(made)
        return made

    def delivered(self, messages: list[WireMessage]) -> None:
        for message in messages:
            assert self.owed["c"][message.body] == 1, f"{message.body!r} is not owed"
            self.deliveries[message.body] += 1
            assert message.attempts == self.deliveries[message.body]


async def live(daemon: DaemonProcess, ledger: Ledger) -> None:
    """Finds all that is owed, publishes in every way, and leaves its work half done."""
    if not ledger.published:
        for target in (
            "/topic/create?topic=t",
            "/channel/create?topic=t&channel=c",
            "/channel/create?topic=t&channel=paused",
            "/channel/pause?topic=t&channel=paused",
            "/topic/create?topic=held",
            "/channel/create?topic=held&channel=c",
            "/topic/pause?topic=held",
        ):
            assert post(daemon, target)[0] == 200
    for name, owed in ledger.owed.items():  # what the original's topic had not passed on comes a little later
        until(partial(holds, daemon, name, owed.total()))
    found = stats(daemon)
    assert [found["t"]["channels"][name]["paused"] for name in ("c", "paused")] == [False, True]
    assert found["held"]["paused"]
    assert "passing#ephemeral" not in found["t"]["channels"]
    post(daemon, "/channel/create?topic=t&channel=passing%23ephemeral")

    producer = await connect(daemon.tcp)
    await producer.mpub("t", *ledger.bodies(120))
    await producer.pub("t", *ledger.bodies(40))
    for body in ledger.bodies(8):
        await producer.dpub("t", SHORT_MS, body)
    await producer.mpub("held", b"held")
    consumer = await connect(daemon.tcp)
    await consumer.sub("t", "c")
    consumer.rdy(60)
    messages = await consumer.messages(60)
    consumer.rdy(0)
    ledger.delivered(messages)
    for message in messages[:30]:
        consumer.fin(message.id)
        ledger.owed["c"][message.body] -= 1
    for message in messages[30:45]:
        consumer.req(message.id, SHORT_MS)
    await consumer.settled()
    assert await asyncio.to_thread(daemon.stop) == 0
    await part(producer, consumer)


def holds(daemon: DaemonProcess, name: str, count: int) -> bool:
    """Whether a channel of ``t`` has so many messages."""
    channel = stats(daemon)["t"]["channels"][name]
    return bool(channel["depth"] + channel["deferred_count"] == count)


async def settle_up(daemon: DaemonProcess, ledger: Ledger, lives: int) -> None:
    """Takes all that is owed, and nothing comes twice."""
    post(daemon, "/channel/unpause?topic=t&channel=paused")
    post(daemon, "/topic/unpause?topic=held")
    came = await everything(daemon, "t", "c", ledger.owed["c"].total())
    assert Counter(message.body for message in came) == +ledger.owed["c"]
    ledger.delivered(came)
    came = await everything(daemon, "t", "paused", ledger.owed["paused"].total())
    assert Counter(message.body for message in came) == ledger.owed["paused"]
    assert {message.attempts for message in came} == {1}
    assert len(await everything(daemon, "held", "c", lives)) == lives
    found = stats(daemon)
    for topic in found.values():
        assert topic["depth"] == 0
        for channel in topic["channels"].values():
            assert (channel["depth"], channel["in_flight_count"], channel["deferred_count"]) == (0, 0, 0)


async def everything(daemon: DaemonProcess, topic: str, channel: str, count: int) -> list[WireMessage]:
    """Takes and finishes so many messages."""
    consumer = await connect(daemon.tcp)
    await consumer.sub(topic, channel)
    consumer.rdy(100)
    came: list[WireMessage] = []
    async with asyncio.timeout(PATIENCE_S):
        while len(came) < count:
            came.append(await consumer.message())
            consumer.fin(came[-1].id)
    await consumer.settled()
    await part(consumer)
    return came


def bad_files(folder: Path) -> set[str]:
    return {path.name for path in folder.glob("*.bad*")}


JOURNEYS = {
    "the original, then ours": [ORIGINAL, OURS],
    "ours, then the original": [OURS, ORIGINAL],
    "to and fro": [ORIGINAL, OURS, ORIGINAL, OURS, OURS, ORIGINAL, ORIGINAL, OURS],
    "to and fro, ours first": [OURS, ORIGINAL, OURS, OURS, ORIGINAL, OURS, ORIGINAL],
}


@pytest.mark.parametrize("flags", [(), PORTABLE], ids=["with delays kept", "portable"])
@pytest.mark.parametrize("programs", JOURNEYS.values(), ids=JOURNEYS.keys())
async def test_a_folder_goes_to_and_fro_without_a_loss(
    tmp_path: Path, programs: list[str], flags: tuple[str, ...]
) -> None:
    ledger = Ledger()
    for program in programs[:-1]:
        before = bad_files(tmp_path)
        with running(program, tmp_path, *(flags if program == OURS else ())) as daemon:
            await live(daemon, ledger)
            if program == OURS:
                assert flags == () or "DISKQUEUE" not in daemon.log.replace("INFO: DISKQUEUE", "")
        if program == OURS:
            assert bad_files(tmp_path) == before
    with running(programs[-1], tmp_path) as daemon:
        await settle_up(daemon, ledger, len(programs) - 1)
        assert "ERROR: DISKQUEUE" not in daemon.log


async def test_ours_serves_what_a_killed_original_had_on_disk(tmp_path: Path) -> None:
    bodies = [b"%04d" % n for n in range(600)]
    with running(ORIGINAL, tmp_path, "--mem-queue-size=0") as daemon:
        post(daemon, "/topic/create?topic=t")
        post(daemon, "/channel/create?topic=t&channel=c")
        producer = await connect(daemon.tcp)
        await producer.mpub("t", *bodies)
        until(lambda: stats(daemon)["t"]["channels"]["c"]["depth"] == len(bodies))
        daemon.kill()
        await part(producer)
    before = bad_files(tmp_path)
    with running(OURS, tmp_path) as daemon:
        came = await drain(daemon.tcp, "t", "c", bodies)
        assert {message.body for message in came} == set(bodies), "some may come twice"
        assert bad_files(tmp_path) == before
