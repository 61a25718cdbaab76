"""nsqd and nsqlookupd for nsq_to_file as a process: ours, and the originals where there are some."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from tests.support.history import post
from tests.support.processes import DaemonProcess
from tests.support.tools import ToolProcess, start_tool
from tests.system.cluster import Kind, nsqd, nsqlookupd, topic_stats
from tests.system.waiting import until

_NUMBERS = count(1)


class Place:
    """A topic of a nsqd, and a folder for its files."""

    def __init__(self, nsqd: DaemonProcess, lookupd: DaemonProcess, folder: Path) -> None:
        self.nsqd, self.lookupd = nsqd, lookupd
        self.topic = f"topic{next(_NUMBERS)}"
        self.output = folder / "output"
        self.work = folder / "work"

    def publish(self, *bodies: bytes, topic: str = "") -> None:
        """Returns once nsqd has them."""
        answer = post(self.nsqd, f"/mpub?topic={topic or self.topic}", b"\n".join(bodies))
        assert answer == (200, b"OK")

    @contextmanager
    def archiving(
        self, *flags: str, topic: str = "", env: dict[str, str] | None = None, named: bool = True
    ) -> Iterator[ToolProcess]:
        """nsq_to_file of the topic, which syncs often; it must not fail unless the test waits for its end."""
        always = [f"--output-dir={self.output}", "--sync-interval=50ms"]
        if named:
            always += [f"--nsqd-tcp-address={self.nsqd.tcp}", f"--topic={topic or self.topic}"]
        with start_tool("nsq_to_file", *always, *flags, env=env) as tool:
            yield tool
            if tool.status is None:
                assert tool.stop() == 0, tool.err

    def channel(self, channel: str = "nsq_to_file", topic: str = "") -> dict[str, Any]:
        """What nsqd tells of it; empty when there is none."""
        channels = topic_stats(self.nsqd, topic or self.topic).get("channels") or ()
        return next((dict(c) for c in channels if c["channel_name"] == channel), {})

    def subscribed(self, channel: str = "nsq_to_file", topic: str = "") -> None:
        """Waits for a consumer."""
        until(lambda: self.channel(channel, topic).get("clients"))

    def finished(self, messages: int, channel: str = "nsq_to_file", topic: str = "") -> None:
        """Waits until so many messages have been published there, and all are finished."""
        until(lambda: self._left(messages, channel, topic) == 0)

    def _left(self, messages: int, channel: str, topic: str) -> int:
        told = self.channel(channel, topic)
        if not told or told["message_count"] < messages:
            return -1
        return int(told["depth"] + told["in_flight_count"] + told["deferred_count"])

    def files(self, folder: Path | None = None) -> dict[str, bytes]:
        """What is in the files, by their names below the folder."""
        folder = folder or self.output
        return {
            str(path.relative_to(folder)): _content(path)
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }

    def lines(self) -> list[bytes]:
        """Of all files, in the order of their names."""
        return b"".join(self.files().values()).splitlines()


def _content(path: Path) -> bytes:
    data = path.read_bytes()
    return gzip.decompress(data) if path.suffix == ".gz" else data


@pytest.fixture(scope="module", params=list(Kind), ids=[kind.value for kind in Kind])
def daemons(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[DaemonProcess, DaemonProcess]]:
    """A nsqd and the nsqlookupd that knows it."""
    kind: Kind = request.param
    with nsqlookupd(kind) as lookupd, nsqd(kind, tmp_path_factory.mktemp("nsqd"), [lookupd]) as daemon:
        yield daemon, lookupd


@pytest.fixture
def place(daemons: tuple[DaemonProcess, DaemonProcess], tmp_path: Path) -> Place:
    """With a topic that no other test has."""
    return Place(*daemons, tmp_path)
