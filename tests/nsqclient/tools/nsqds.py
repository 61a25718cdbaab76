"""A nsqd as a process for the tests of tools, and what they ask of it."""

from __future__ import annotations

import asyncio
import os
import pty
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from nsqclient import Consumer
from tests.support.child import TIMEOUT_S
from tests.support.fetch import fetch_json, post
from tests.support.processes import DaemonProcess, spawn
from tests.support.tools import CLEAN, command_of

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


# ---- tools whose standard output is something particular


def run_into(out: IO[bytes], tool: str, *args: str) -> subprocess.CompletedProcess[bytes]:
    """Runs a tool to its end, with standard output going there."""
    return subprocess.run(
        command_of(tool, args),
        stdin=subprocess.DEVNULL,
        stdout=out,
        stderr=subprocess.PIPE,
        env=CLEAN,
        timeout=TIMEOUT_S,
        check=False,
    )


@contextmanager
def piped(tool: str, *args: str) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """A tool that runs, and the pipe of its standard output, which nobody reads."""
    out, into = os.pipe()
    process = subprocess.Popen(
        command_of(tool, args), stdin=subprocess.DEVNULL, stdout=into, stderr=subprocess.DEVNULL, env=CLEAN
    )
    os.close(into)
    try:
        yield process, out
    finally:
        os.close(out)
        process.kill()
        process.wait()


def on_terminal(
    tool: str, *args: str, stdin: bytes | None = None, env: Mapping[str, str] | None = None
) -> tuple[int, bytes]:
    """Runs a tool to its end on a terminal, its input too unless ``stdin`` is given; its status, and what is shown."""
    main, other = pty.openpty()
    process = subprocess.Popen(
        command_of(tool, args),
        stdin=other if stdin is None else subprocess.PIPE,
        stdout=other,
        stderr=other,
        env={**CLEAN, **(env or {})},
    )
    os.close(other)
    if process.stdin is not None:
        with process.stdin:
            process.stdin.write(stdin or b"")
    shown = b""
    try:
        while data := os.read(main, 1 << 16):
            shown += data
    except OSError:  # EIO: nobody has the terminal any more
        pass
    finally:
        os.close(main)
    return process.wait(TIMEOUT_S), shown


def until(there: Callable[[], bool]) -> None:
    """Asks again and again; raises AssertionError when it does not come true."""
    deadline = time.monotonic() + TIMEOUT_S
    while not there():
        assert time.monotonic() < deadline, "it does not come true"
        pause(0.02)


def pause(seconds: float) -> None:
    """Lets time pass, where that is what is tested."""
    time.sleep(seconds)
