"""The main job: real lines through the whole topology, one nsqd restarted on the way, all accounted for."""

from __future__ import annotations

import asyncio
import platform
import shutil
import time
from collections.abc import Coroutine
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from deploy.local import archive
from deploy.local.crew import ARCHIVE, INDEX, Crew
from deploy.local.ledger import Ledger, settle
from deploy.local.processes import Exit, StartFailed
from deploy.local.publisher import Publisher, PublishFailed
from deploy.local.records import BadInput, Survey, batches, find
from deploy.local.screen import Screen
from deploy.local.summary import Channel, Outcome
from deploy.local.topology import Node, Topology
from nsqcore.http_client import HttpFailure, JsonClient

TOPIC = "lines"
_PUBLISHED = "published"
_BATCH_RECORDS, _BATCH_BYTES = 500, 512 << 10
_FEWEST_BATCHES = 60  # so that "half way" means something with a small input, too
_LOOK_EVERY = 0.2  # seconds
_PATIENCE = 60.0  # seconds that a publisher waits for its node to come back
_REQUEST_TIMEOUT = 30.0

_HOW = """\
  lines -- HTTP /mpub --> nsqds, topic "lines" --+-- channel "index":   3 consumers share the lines
                                                  +-- channel "archive": 1 consumer writes all to files
  Each nsqd tells every nsqlookupd what it has; the consumers ask there and connect to every nsqd.
  Half way one nsqd is stopped and started again: its messages wait on its disk, its publisher retries."""


class _Failed(Exception):
    """The demo can't go on; the text says what happened."""


@dataclass(frozen=True)
class DemoOptions:
    """What the command line of ``demo`` says."""

    data: Path | None = None
    nsqds: int = 3
    lookupds: int = 2
    base_port: int | None = None
    stall: float = 90.0
    """Give up after so many seconds without any progress; nsqd delivers again after 60."""


class Demo:
    """One run of the demo, in a folder of its own."""

    def __init__(self, options: DemoOptions, folder: Path, console: Console) -> None:
        self.options, self.folder, self.console = options, folder, console
        self._deaths: asyncio.Queue[Exit] = asyncio.Queue()
        self._topology = Topology(
            folder,
            nsqds=options.nsqds,
            lookupds=options.lookupds,
            base_port=options.base_port,
            deaths=self._deaths,
        )
        self._published = Ledger()
        self._publishers: list[Publisher] = []
        self._publishing_s = 0.0
        self._half_way = asyncio.Event()

    async def run(self) -> bool:
        """Whether all arrived and everything ended properly; the table is printed then.

        Raises BadInput or StartFailed when it does not get so far. All processes have ended after it.
        """
        found = await self._survey()
        counts = f"{self.options.lookupds} nsqlookupd, {self.options.nsqds} nsqd and nsqadmin"
        self._say(f"Starting {counts}; logs: {self.folder}")
        failures = []
        async with self._topology as topology:
            self._say(_HOW)
            self._say(f"  Watch it in a browser: {topology.nsqadmin_url}")
            crew = Crew(self.folder, TOPIC, [node.http for node in topology.lookupds], self._deaths)
            try:
                await self._move_all(found, crew)
            except (_Failed, PublishFailed, StartFailed, BadInput) as e:
                failures.append(str(e))
            finally:
                await crew.stop()
        failures += [str(end) for end in self._unclean_ends(crew)]
        outcome = await asyncio.to_thread(self._settle, found, crew, failures)
        outcome.show(self.console)
        if outcome.succeeded:
            shutil.rmtree(self.folder / "data")  # emptied queues; the logs and the archive stay
        return outcome.succeeded

    async def _survey(self) -> Survey:
        what = self.options.data or f"the standard library of Python {platform.python_version()}"
        self._say(f"Reading {what}")
        found = Survey()
        for source in find(self.options.data):
            await asyncio.to_thread(found.add, source)
        if not found.lines:
            raise BadInput(f"{what}: there is no line in it that could be published")
        self._say(f"  {found.lines:,} non-blank lines in {len(found.sources):,} files")
        return found

    def _say(self, text: str) -> None:
        self.console.print(text, highlight=False, markup=False, soft_wrap=True)

    async def _move_all(self, found: Survey, crew: Crew) -> None:
        names = {_PUBLISHED: "published", INDEX: f"channel {INDEX}", ARCHIVE: f"channel {ARCHIVE}"}
        async with JsonClient(request_timeout=_REQUEST_TIMEOUT) as client:
            await self._create_names(client)
            await crew.start()
            await _guarded(crew.subscribed(), self._watch_deaths())
            with Screen(self.console, found.lines, names) as screen:
                await _guarded(
                    self._publish_and_drain(found, client, screen),
                    self._watch_progress(crew, screen),
                    self._watch_deaths(),
                )
                await crew.stop()  # its last counts come with its end
                self._show_counts(crew, screen, final=True)

    async def _create_names(self, client: JsonClient) -> None:
        """Before the first message: a channel gets what comes after its creation."""
        try:
            for node in self._topology.lookupds + self._topology.nsqds:
                await client.post(f"http://{node.http}/topic/create", topic=TOPIC)
                for channel in (INDEX, ARCHIVE):
                    await client.post(f"http://{node.http}/channel/create", topic=TOPIC, channel=channel)
        except HttpFailure as e:
            raise _Failed(f"can't create topic and channels: {e}") from e

    async def _publish_and_drain(self, found: Survey, client: JsonClient, screen: Screen) -> None:
        most = max(1, min(_BATCH_RECORDS, found.lines // _FEWEST_BATCHES))
        source = batches(found.sources, most, _BATCH_BYTES)

        def confirmed() -> None:
            if 2 * self._published.distinct >= found.lines:
                self._half_way.set()

        self._publishers = [
            Publisher(
                f"http://{node.http}/mpub?topic={TOPIC}&binary=true",
                client,
                source,
                self._published,
                patience=_PATIENCE,
                confirmed=confirmed,
            )
            for node in self._topology.nsqds
        ]
        began = time.monotonic()
        try:
            async with asyncio.TaskGroup() as group:
                restart = group.create_task(self._restart_half_way(screen))
                publishers = [group.create_task(publisher.run()) for publisher in self._publishers]
                await asyncio.gather(*publishers)
                self._publishing_s = time.monotonic() - began
                self._half_way.set()  # files may have shrunk since they were counted
                await restart
        except BaseExceptionGroup as failures:
            raise failures.exceptions[0] from None
        while await self._waiting(client):  # noqa: ASYNC110 - what other processes do is no event here
            await asyncio.sleep(_LOOK_EVERY)

    async def _restart_half_way(self, screen: Screen) -> None:
        await self._half_way.wait()
        node = self._topology.nsqds[len(self._topology.nsqds) // 2]
        screen.note(f"  {self._published.distinct:,} published: {node.name} gets SIGTERM and starts again")
        took = await self._topology.restart(node)
        screen.note(f"  {node.name} is back on the same ports after {took:.1f} s")

    async def _waiting(self, client: JsonClient) -> list[str]:
        """Where messages still are, in words; empty when every channel is."""
        return [words for node in self._topology.nsqds for words in await _queues(client, node)]

    async def _watch_progress(self, crew: Crew, screen: Screen) -> None:
        """Shows it; raises _Failed when there has been none for too long."""
        loop = asyncio.get_running_loop()
        before, since = (-1, -1, -1), loop.time()
        while True:
            now = self._show_counts(crew, screen)
            if now != before:
                before, since = now, loop.time()
            elif loop.time() - since > self.options.stall:
                async with JsonClient() as client:
                    left = "; ".join(await self._waiting(client)) or "no queue holds a message"
                raise _Failed(f"no progress for {self.options.stall:g} s: {left}")
            await asyncio.sleep(_LOOK_EVERY)

    def _show_counts(self, crew: Crew, screen: Screen, *, final: bool = False) -> tuple[int, int, int]:
        counts = self._published.distinct, crew.delivered(INDEX), crew.delivered(ARCHIVE)
        screen.update(dict(zip((_PUBLISHED, INDEX, ARCHIVE), counts, strict=True)), final=final)
        return counts

    async def _watch_deaths(self) -> None:
        raise _Failed(f"{await self._deaths.get()}")

    def _unclean_ends(self, crew: Crew) -> list[Exit]:
        ends = crew.unclean + self._topology.unclean
        while not self._deaths.empty():
            ends.append(self._deaths.get_nowait())
        return ends

    def _settle(self, found: Survey, crew: Crew, failures: list[str]) -> Outcome:
        reports = crew.reports(INDEX)
        received = {
            INDEX: [report.ledger for report in reports],
            ARCHIVE: [archive.read(crew.archive_folder)],
        }
        return Outcome(
            channels=[
                Channel(settle(name, self._published, ledgers), crew.seconds(name))
                for name, ledgers in received.items()
            ],
            publishing_s=self._publishing_s,
            resends=[publisher.resends for publisher in self._publishers],
            left_out=found.left_out,
            failures=failures,
            strange=sum(report.strange for report in reports),
            shares=[report.ledger.added for report in reports],
            archive=crew.archive_folder,
        )


async def _queues(client: JsonClient, node: Node) -> list[str]:
    try:
        stats = await client.get(
            f"http://{node.http}/stats",
            format="json",
            topic=TOPIC,
            include_clients="false",
            include_mem="false",
        )
    except HttpFailure as e:
        return [str(e)]
    found = []
    for topic in stats["topics"] or []:
        if topic["depth"]:
            found.append(f"{node.name} {topic['topic_name']}: {topic['depth']} queued")
        for channel in topic["channels"]:
            counts = {
                "queued": channel["depth"],
                "in flight": channel["in_flight_count"],
                "deferred": channel["deferred_count"],
            }
            if any(counts.values()):
                words = ", ".join(f"{count} {state}" for state, count in counts.items() if count)
                found.append(f"{node.name} {topic['topic_name']}/{channel['channel_name']}: {words}")
    return found


async def _guarded(work: Coroutine[None, None, None], *guards: Coroutine[None, None, None]) -> None:
    """Runs ``work`` to its end, unless a guard raises before; leaves nothing running."""
    tasks = [asyncio.ensure_future(coroutine) for coroutine in (work, *guards)]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
