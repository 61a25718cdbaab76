"""A nsqd that runs as a process, behind a proxy that spoils things and one that writes down what is said.

client -> recorder -> faulty proxy -> nsqd: the recorder hears what the client really sent, and what reached it.
"""

from __future__ import annotations

import asyncio
import http.client
import json
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self, cast

from nsqclient.testing import FaultyProxy, Recorder
from nsqclient.testing.conversation import Said
from tests.support.processes import DaemonProcess, spawn

LOCAL = ("--tcp-address=127.0.0.1:0", "--http-address=127.0.0.1:0", "--broadcast-address=127.0.0.1")


class Site:
    """One nsqd; clients connect to :attr:`address`, which stays the same over its lives."""

    def __init__(self, program: str | Path, folder: Path, *flags: str) -> None:
        folder.mkdir(exist_ok=True)
        self.address = ""
        self.proxy = FaultyProxy("127.0.0.1:1")
        self._program = program
        self._flags = (*LOCAL, f"--data-path={folder}", *flags)
        self._lives = ExitStack()
        self._daemon: DaemonProcess | None = None
        self._recorder = Recorder("")

    async def __aenter__(self) -> Self:
        await self.start()
        await self.proxy.__aenter__()
        self._recorder = Recorder(self.proxy.address)
        await self._recorder.__aenter__()
        self.address = self._recorder.address
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._recorder.__aexit__(kind, error, trace)
        await self.proxy.__aexit__(kind, error, trace)
        await asyncio.to_thread(self._lives.__exit__, kind, error, trace)
        if error is None:
            self.check_answers()

    @property
    def daemon(self) -> DaemonProcess:
        """Its present life, or the last."""
        assert self._daemon is not None
        return self._daemon

    async def start(self) -> None:
        """Starts it on the data it has, at ports of its own."""
        life = spawn(self._program, *self._flags)
        self._daemon = await asyncio.to_thread(self._lives.enter_context, life)
        self.proxy.server = self._daemon.tcp

    async def kill(self) -> None:
        """SIGKILL."""
        await asyncio.to_thread(self.daemon.kill)

    async def stats(self, topic: str = "t") -> dict[str, Any]:
        """What it says of the topic."""
        return await asyncio.to_thread(_stats, self.daemon.http, topic)

    async def holds(self, topic: str = "t", channel: str = "c") -> int:
        """How many messages of the channel it says it has."""
        said = await self.stats(topic)
        (found,) = [each for each in said["channels"] if each["channel_name"] == channel]
        depth, in_flight, deferred = found["depth"], found["in_flight_count"], found["deferred_count"]
        return int(said["depth"] + depth + in_flight + deferred)

    async def until_it_holds(self, count: int, timeout: float = 20) -> None:
        """What was said to it may still be on its way."""
        async with asyncio.timeout(timeout):
            while await self.holds() != count:  # noqa: ASYNC110 - another process can only be asked
                await asyncio.sleep(0.02)

    async def deferred(self, topic: str = "t") -> int:
        """How many messages it says it keeps back."""
        return sum(int(each["deferred_count"]) for each in (await self.stats(topic))["channels"])

    # ---- what was said

    @property
    def conversations(self) -> list[list[Said]]:
        """By connection."""
        return self._recorder.conversations

    def commands(self, verb: str) -> int:
        """How many of these were sent to it."""
        said = (line for lines in self.conversations for line in lines if line.who == ">")
        return sum(line.text.startswith(verb) for line in said)

    def check_answers(self) -> None:
        """No connection carried more answers to a message than deliveries of it."""
        for lines in self.conversations:
            delivered: Counter[str] = Counter()
            answered: Counter[str] = Counter()
            for who, text in lines:
                verb, _, rest = text.partition(" ")
                message_id = rest.partition(" ")[0]
                if who == "<" and verb == "MESSAGE":
                    delivered[message_id] += 1
                elif who == ">" and verb in ("FIN", "REQ"):
                    answered[message_id] += 1
            twice = {name: count for name, count in answered.items() if count > delivered[name]}
            assert not twice, f"answered more often than delivered: {twice}"


def _stats(address: str, topic: str) -> dict[str, Any]:
    connection = http.client.HTTPConnection(address, timeout=10)
    try:
        connection.request("GET", f"/stats?format=json&topic={topic}")
        topics = json.loads(connection.getresponse().read())["topics"]
        return cast(dict[str, Any], topics[0])
    finally:
        connection.close()
