"""Asks nsqlookupds which nsqds there are: all of them at once, again and again, answers merged."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from nsqclient.credentials import read_secret
from nsqclient.discovery.found import MOST_NODES, FoundNode, read_found
from nsqclient.discovery.targets import Lookup
from nsqclient.errors import ConfigError
from nsqclient.pauses import Chance

if TYPE_CHECKING:
    import ssl

    from nsqcore.http_client import JsonClient

log = logging.getLogger(__name__)

MOST_BYTES = 16 << 20
"""Of an answer: more than 50,000 nsqds take."""
MOST_KNOWN = 2 * MOST_NODES
"""Nsqds that are remembered while some nsqlookupd does not answer; one that lies could name others each time."""
MOST_ASKED = 3
"""Nsqlookupds per poll, where one is asked after the other."""
HEADERS: Mapping[str, str] = {}
SHORTEST_INTERVAL = 0.5
"""Seconds between two polls, however many connections are lost."""


class Answer(NamedTuple):
    """Of one nsqlookupd."""

    nodes: list[FoundNode]
    whole: bool
    """Whether it is what there is: entries that make no sense may stand for nsqds."""


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
        failing: Callable[[str, str], None] | None = None,
    ) -> None:
        """``failing`` is told the URL of a nsqlookupd that begins to fail, and why."""
        self.polled: asyncio.Event = asyncio.Event()
        """Set when the first poll is over, whatever it brought."""
        self.nodes: Mapping[str, FoundNode] = {}
        """What has been found, by address; forgotten when a poll that all answered does not bring it.

        Never more than ``MOST_KNOWN``, unless one poll brings them."""
        self._lookup = lookup
        self._topic = topic
        self._found = found
        self._chance = chance
        self._failing_now = failing
        self._soon = asyncio.Event()
        self._failing: set[str] = set()
        self._lying: set[str] = set()
        self._headers: Mapping[str, str] = HEADERS
        self._tls: ssl.SSLContext | None = None
        self._turn = self._vain_polls = 0
        self._absent_said = False

    def poll_soon(self) -> None:
        """Polls now, or ``SHORTEST_INTERVAL`` after the last poll: a connection was lost."""
        self._soon.set()

    async def run(self) -> NoReturn:
        """Goes on until it is cancelled."""
        from nsqcore.http_client import JsonClient  # aiohttp takes long to import, and only this needs it

        lookup = self._lookup
        async with JsonClient(
            connect_timeout=lookup.connect_timeout,
            request_timeout=lookup.request_timeout,
            max_answer=MOST_BYTES,
            tls=None if lookup.tls is None else self._current_tls,
        ) as http:
            while True:
                self._soon.clear()
                if await self._prepare():
                    await (self._poll_all(http) if lookup.ask == "all" else self._poll_one(http))
                self.polled.set()
                await asyncio.sleep(min(SHORTEST_INTERVAL, lookup.poll_interval))
                await self._pause()

    async def _prepare(self) -> bool:
        """Reads what the requests of a poll need beside their URLs; whether it could be had."""
        lookup = self._lookup
        try:
            if lookup.tls is not None:
                self._tls = await lookup.tls.context()
            if lookup.auth is not None:
                async with asyncio.timeout(lookup.request_timeout):
                    secret = await read_secret(lookup.auth)
                self._headers = {**HEADERS, "Authorization": f"Bearer {secret}"}
        except ConfigError as e:
            self._say_failing("any", str(e))
            return False
        except Exception as e:  # noqa: BLE001 - the function is the user's: whatever it raises, we go on trying
            self._say_failing("any", f"the function for the secret raised {type(e).__name__}")
            return False
        return True

    def _current_tls(self) -> ssl.SSLContext:
        assert self._tls is not None
        return self._tls

    def _urls(self) -> tuple[str, ...]:
        return self._lookup.nodes_urls if self._topic is None else self._lookup.lookup_urls

    async def _poll_all(self, http: JsonClient) -> None:
        urls = self._urls()
        named: dict[str, FoundNode] = {}
        unanswered = len(urls)

        async def ask(url: str) -> None:
            nonlocal unanswered
            answer = await self._ask(http, url)
            if answer is not None:
                _merge(named, answer.nodes)
                unanswered -= answer.whole
                self._tell(named, unanswered == 0)

        async with asyncio.TaskGroup() as asking:
            for url in urls:
                asking.create_task(ask(url))

    async def _poll_one(self, http: JsonClient) -> None:
        urls = self._urls()
        answered, whole = False, len(urls) == 1  # what one of several does not name may be known to another
        named: dict[str, FoundNode] = {}
        for _ in range(min(MOST_ASKED, len(urls))):
            url = urls[self._turn % len(urls)]
            self._turn += 1
            answer = await self._ask(http, url)
            if answer is not None:
                answered, whole = True, whole and answer.whole
                _merge(named, answer.nodes)
            if named:
                break
        if answered:
            self._tell(named, whole)

    def _tell(self, named: dict[str, FoundNode], complete: bool) -> None:
        chosen = dict(named)
        if self._lookup.discovery_filter is not None:
            try:
                chosen = {node.address: node for node in self._lookup.discovery_filter([*named.values()])}
            except Exception:  # the filter is the user's: its faults must not cost the connections there are
                log.exception("the discovery filter failed; what was found is not used")
                return
        known = chosen if complete else {**self.nodes, **chosen}
        self.nodes = known if len(known) <= MOST_KNOWN else chosen
        self._found(frozenset(chosen), complete)

    async def _ask(self, http: JsonClient, url: str) -> Answer | None:
        from nsqcore.http_client import HttpFailure

        try:
            params = {} if self._topic is None else {"topic": self._topic}
            answer = await http.fetch("GET", url, params, None, self._headers)
            nodes, left_out = read_found(json.loads(answer.data.decode("utf-8", "replace")))
            if left_out and not nodes:
                raise ValueError("nothing of it makes sense")
        except HttpFailure as e:
            if self._topic is None or e.status != 404 or e.code not in ("TOPIC_NOT_FOUND", ""):
                self._say_failing(url, e.reason)
                return None
            self._say_absent(url)
            nodes, left_out = [], 0
        except (ValueError, RecursionError):  # the latter for a text of brackets
            self._say_failing(url, "the answer is not a nsqlookupd's")
            return None
        if left_out and url not in self._lying:
            self._lying.add(url)
            log.warning("nsqlookupd %s names %d nsqds that make no sense, or too many", url, left_out)
        if url in self._failing:
            self._failing.discard(url)
            log.info("nsqlookupd %s answers again", url)
        return Answer(nodes, not left_out)

    async def _pause(self) -> None:
        """The rest of the interval, shortened at random so that clients do not ask in step.

        While nothing is known there is nothing to work with, and a topic may be about to appear: polls
        begin close together then, and are twice as far apart each time.
        """
        self._vain_polls = 0 if self.nodes else self._vain_polls + 1
        interval = self._lookup.poll_interval
        if self._vain_polls:
            interval = min(interval, SHORTEST_INTERVAL * 2.0 ** min(self._vain_polls - 1, 30))
        interval *= 1 - self._lookup.poll_jitter * self._chance()
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
        if self._failing_now is not None and url not in self._failing:
            self._failing_now(url, reason)
        self._failing.add(url)
        log.log(level, "nsqlookupd %s does not answer - %s", url, reason)


def _merge(named: dict[str, FoundNode], answer: Iterable[FoundNode]) -> None:
    for node in answer:
        before = named.get(node.address)
        named[node.address] = node if before is None else before.joined(node)
