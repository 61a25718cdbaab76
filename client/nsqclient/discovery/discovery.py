"""Asks nsqlookupds which nsqds there are: all of them at once, again and again, answers merged."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, NoReturn

from nsqclient.discovery.targets import Lookup
from nsqclient.pauses import Chance
from nsqcore.addresses import HostPort

if TYPE_CHECKING:
    from nsqcore.http_client import JsonClient

log = logging.getLogger(__name__)

SHORTEST_INTERVAL = 0.5
"""Seconds between two polls, however many connections are lost."""


class Discovery:
    """Polls the nsqlookupds of ``lookup``: for one topic's nsqds, or for all nsqds when it is None.

    ``found`` is called each time one of them has answered, with all addresses that this poll has brought
    so far, so that a dead nsqlookupd delays nothing. The last call of a poll in which all of them answered
    says so: then a nsqd that is not named is really gone. An unknown topic is an answer as well.
    """

    def __init__(
        self,
        lookup: Lookup,
        topic: str | None,
        found: Callable[[frozenset[str], bool], None],
        chance: Chance,
    ) -> None:
        self.polled = asyncio.Event()
        """Set when the first poll is over, whatever it brought."""
        self._lookup = lookup
        self._topic = topic
        self._found = found
        self._chance = chance
        self._soon = asyncio.Event()
        self._failing: set[str] = set()
        self._absent_said = False

    def poll_soon(self) -> None:
        """Polls now, or ``SHORTEST_INTERVAL`` after the last poll: a connection was lost."""
        self._soon.set()

    async def run(self) -> NoReturn:
        """Goes on until it is cancelled."""
        from nsqcore.http_client import JsonClient  # aiohttp takes long to import, and only this needs it

        async with JsonClient(
            connect_timeout=self._lookup.connect_timeout, request_timeout=self._lookup.request_timeout
        ) as http:
            while True:
                self._soon.clear()
                await self._poll(http)
                self.polled.set()
                await asyncio.sleep(min(SHORTEST_INTERVAL, self._lookup.poll_interval))
                await self._pause()

    async def _poll(self, http: JsonClient) -> None:
        urls = self._lookup.nodes_urls if self._topic is None else self._lookup.lookup_urls
        named: set[str] = set()
        unanswered = len(urls)

        async def ask(url: str) -> None:
            nonlocal unanswered
            answer = await self._ask(http, url)
            if answer is not None:
                named.update(answer)
                unanswered -= 1
                self._found(frozenset(named), unanswered == 0)

        async with asyncio.TaskGroup() as asking:
            for url in urls:
                asking.create_task(ask(url))

    async def _ask(self, http: JsonClient, url: str) -> list[str] | None:
        from nsqcore.http_client import HttpFailure

        try:
            answer = await (http.get(url) if self._topic is None else http.get(url, topic=self._topic))
            named = list(_addresses(answer))
        except HttpFailure as e:
            if self._topic is None or e.status != 404 or e.code not in ("TOPIC_NOT_FOUND", ""):
                self._say_failing(url, e.reason)
                return None
            self._say_absent(url)
            named = []
        except (KeyError, TypeError, ValueError):
            self._say_failing(url, "the answer is not a nsqlookupd's")
            return None
        if url in self._failing:
            self._failing.discard(url)
            log.info("nsqlookupd %s answers again", url)
        return named

    async def _pause(self) -> None:
        """The rest of the interval, shortened at random so that clients do not ask in step."""
        interval = self._lookup.poll_interval * (1 - self._lookup.poll_jitter * self._chance())
        try:
            async with asyncio.timeout(max(0.0, interval - SHORTEST_INTERVAL)):
                await self._soon.wait()
        except TimeoutError:
            pass

    def _say_absent(self, url: str) -> None:
        if not self._absent_said:
            self._absent_said = True
            log.info("nsqlookupd %s does not know topic %s yet", url, self._topic)

    def _say_failing(self, url: str, reason: str) -> None:
        level = logging.DEBUG if url in self._failing else logging.WARNING
        self._failing.add(url)
        log.log(level, "nsqlookupd %s does not answer - %s", url, reason)


def _addresses(answer: object) -> Iterable[str]:
    """The ``host:port`` of each producer in an answer; nsqlookupd before 1.0 wrapped it in ``data``."""
    if not isinstance(answer, dict):
        raise TypeError
    for producer in answer.get("data", answer)["producers"]:
        yield str(HostPort(str(producer["broadcast_address"]), int(producer["tcp_port"])))
