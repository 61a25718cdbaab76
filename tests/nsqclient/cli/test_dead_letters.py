"""Dead letters are listed, sent back and thrown away."""

from __future__ import annotations

import asyncio
import json
import subprocess

import pytest

from nsqclient import App, DeadLetter, Failures
from tests.nsqclient.cli.commands import run
from tests.support.processes import DaemonProcess


async def bury(nsqd: DaemonProcess, topic: str, *bodies: bytes, headers: bool = True) -> None:
    """Has messages of ``topic`` become dead letters in ``topic.dead``."""
    app = App(
        nsqd.tcp, headers="auto" if headers else "never", failures=Failures(dead_letter=f"{topic}.dead")
    )
    left = len(bodies)

    @app.on(topic, channel="c")
    async def handle(body: bytes) -> None:
        nonlocal left
        left -= 1
        if not left:
            app.stop()
        raise DeadLetter("nobody wants it")

    async with app:
        await app.producer.publish_many(topic, bodies)
        await app.wait()


async def dlq(nsqd: DaemonProcess, action: str, topic: str, *more: str) -> subprocess.CompletedProcess[bytes]:
    return await asyncio.to_thread(run, "dlq", action, topic, "--nsqd", nsqd.tcp, "--wait", "0.5", *more)


async def tail(nsqd: DaemonProcess, topic: str, count: int) -> list[bytes]:
    arguments = ("tail", topic, "--json", "--channel", "c", "-n", str(count), "--nsqd-tcp-address", nsqd.tcp)
    printed = (await asyncio.to_thread(run, *arguments)).stdout.splitlines()
    return sorted(json.loads(line)["body"].encode() for line in printed)


async def test_letters_are_listed_and_stay(nsqd: DaemonProcess) -> None:
    await bury(nsqd, "listed", b"one\x1b", b"two")
    for _ in range(2):
        listed = await dlq(nsqd, "list", "listed.dead")
        assert listed.returncode == 0, listed.stderr
        lines = sorted(listed.stdout.decode().splitlines(), key=lambda line: line[-3:])
        assert len(lines) == 2
        assert "listed/c attempts=1 DeadLetter: nobody wants it | two" in "".join(lines)
        assert "| one\\x1b" in "".join(lines)
    one = await dlq(nsqd, "list", "listed.dead", "--json", "-n", "1")
    [told] = map(json.loads, one.stdout.splitlines())
    assert told["topic"] == "listed.dead"
    assert told["headers"]["nsq-topic"] == "listed"
    assert told["body"] in ("one\x1b", "two")


async def test_letters_are_published_to_where_they_came_from(nsqd: DaemonProcess) -> None:
    await bury(nsqd, "replayed", b"1", b"2", b"3")
    first = await dlq(nsqd, "replay", "replayed.dead", "-n", "1")
    assert (first.returncode, first.stdout, first.stderr) == (0, b"1 replayed\n", b"")
    rest = await dlq(nsqd, "replay", "replayed.dead")
    assert rest.stdout == b"2 replayed\n"
    assert await tail(nsqd, "replayed", 3) == [b"1", b"2", b"3"]
    assert (await dlq(nsqd, "list", "replayed.dead")).stdout == b""


async def test_letters_may_be_published_elsewhere(nsqd: DaemonProcess) -> None:
    await bury(nsqd, "moved", b"1", headers=False)
    homeless = await dlq(nsqd, "replay", "moved.dead")
    assert (homeless.returncode, homeless.stdout) == (1, b"0 replayed\n")
    assert b"1 letters do not say where they came from" in homeless.stderr
    moved = await dlq(nsqd, "replay", "moved.dead", "--to", "elsewhere")
    assert (moved.returncode, moved.stdout) == (0, b"1 replayed\n")
    assert await tail(nsqd, "elsewhere", 1) == [b"1"]


async def test_a_letter_stays_when_it_can_not_be_published(nsqd: DaemonProcess) -> None:
    await bury(nsqd, "kept", b"1")
    refused = await dlq(nsqd, "replay", "kept.dead", "--to", "a b")
    assert refused.returncode == 2
    assert b"topic name 'a b'" in refused.stderr
    assert len((await dlq(nsqd, "list", "kept.dead")).stdout.splitlines()) == 1


async def test_letters_are_dropped_when_it_is_really_meant(nsqd: DaemonProcess) -> None:
    await bury(nsqd, "dropped", b"1", b"2")
    assert (await dlq(nsqd, "drop", "dropped.dead")).returncode == 2
    dropped = await dlq(nsqd, "drop", "dropped.dead", "--yes")
    assert (dropped.returncode, dropped.stdout) == (0, b"2 dropped\n")
    assert (await dlq(nsqd, "list", "dropped.dead")).stdout == b""


@pytest.mark.parametrize("action", ["list", "replay", "drop"])
async def test_a_count_of_nothing_makes_no_sense(nsqd: DaemonProcess, action: str) -> None:
    more = ("--yes",) if action == "drop" else ()
    assert (await dlq(nsqd, action, "t", "-n", "0", *more)).returncode == 2
