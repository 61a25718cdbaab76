"""The nsqds of a topic: named by flags, or looked up anew for every row; and what each of them tells."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from nsqclient.errors import ApiNotFound
from nsqclient.http.lookupd import Lookupd
from nsqclient.http.nsqd import Nsqd
from nsqclient.tools.stat.asking import Asked, ask_all, visible
from nsqclient.tools.stat.counts import Reading, reading

T = TypeVar("T")

MOST_SHOWN = 3
"""Reasons that one line names, where many daemons may have failed."""


class Nodes:
    """Asks the nsqds of a topic, round by round. Close it in the end."""

    def __init__(
        self,
        topic: str,
        channel: str,
        *,
        nsqds: Sequence[str],
        lookupds: Sequence[str],
        connect_timeout: float,
        request_timeout: float,
        tell: Callable[[str], None],
    ) -> None:
        """``channel`` is the only one to ask for, or empty; of ``nsqds`` and ``lookupds`` (``host:port`` of
        HTTP) one is empty. Timeouts are seconds. ``tell`` gets a line when a daemon falls silent or is back.
        """
        self._topic = topic
        self._channel = channel
        self._connect_timeout = connect_timeout
        self._request_timeout = request_timeout
        self._tell = tell
        self._lookupd_apis: dict[str, Lookupd] = {}
        self._nsqd_apis: dict[str, Nsqd] = {}
        self._lookupds = [self._asked("nsqlookupd", a, self._look_up) for a in dict.fromkeys(lookupds)]
        self._nsqds: dict[str, Asked[Reading]] = {}
        self._known: dict[str, Sequence[str]] = {}
        self._directly = not lookupds
        self._begun = False
        self._have(nsqds)

    @property
    def count(self) -> int:
        """How many nsqds there are to ask."""
        return len(self._nsqds)

    @property
    def missing(self) -> list[str]:
        """The nsqds that gave no answer in the last round."""
        return [address for address, nsqd in self._nsqds.items() if nsqd.answer is None]

    def trouble(self) -> str:
        """Why the last round has nothing to count, as the original words it; empty if it has something."""
        if self._lookupds and all(lookupd.answer is None for lookupd in self._lookupds):
            reasons = _some([lookupd.reason for lookupd in self._lookupds])
            return f"failed to get topic producers - failed to query any nsqlookupd: {reasons}"
        if not self._nsqds:
            return (
                "failed to get topic producers - failed to query any nsqlookupd: "
                f"no nsqd is registered with topic {self._topic}"
            )
        if all(nsqd.answer is None for nsqd in self._nsqds.values()):
            reasons = _some([nsqd.reason for nsqd in self._nsqds.values()])
            what = "topic producers" if self._directly else "nsqd stats"
            return f"failed to get {what} - failed to query any nsqd: {reasons}"
        return ""

    async def poll(self) -> tuple[list[Reading], list[str]]:
        """One round: what the nsqds that answered tell, and the nsqds that are not asked any more.

        A nsqlookupd that does not answer is taken at its last word.
        """
        gone: list[str] = []
        if self._lookupds:
            await ask_all(self._lookupds)
            for lookupd in self._lookupds:
                if lookupd.answer is not None:
                    self._known[lookupd.address] = lookupd.answer
            named = list(dict.fromkeys(address for found in self._known.values() for address in found))
            gone = [address for address in self._nsqds if address not in named]
            for address in gone:
                self._tell(f"nsqd {address}: not registered with topic {self._topic} any more; left out")
                await self._leave(address)
            if self._begun:
                for address in named:
                    if address not in self._nsqds:
                        self._tell(
                            f"nsqd {address}: registered with topic {self._topic}; counted from now on"
                        )
            self._have(named)
        self._begun = True
        await ask_all(self._nsqds.values())
        return [nsqd.answer for nsqd in self._nsqds.values() if nsqd.answer is not None], gone

    async def close(self) -> None:
        """Asks no more and closes the connections."""
        for lookupd in self._lookupds:
            await lookupd.close()
        for api in self._lookupd_apis.values():
            await api.close()
        for address in list(self._nsqds):
            await self._leave(address)

    def _have(self, addresses: Sequence[str]) -> None:
        for address in addresses:
            if address not in self._nsqds:
                self._nsqds[address] = self._asked("nsqd", address, self._read)

    def _asked(self, kind: str, address: str, ask: Callable[[str], Awaitable[T]]) -> Asked[T]:
        return Asked(address, lambda: ask(address), lambda text: self._tell(f"{kind} {address}: {text}"))

    async def _look_up(self, address: str) -> Sequence[str]:
        api = self._lookupd_apis.get(address)
        if api is None:
            api = self._lookupd_apis[address] = Lookupd(
                address, timeout=self._request_timeout, connect_timeout=self._connect_timeout
            )
        try:
            found = await api.lookup(self._topic)
        except ApiNotFound as e:
            if e.code != "TOPIC_NOT_FOUND":
                raise
            return ()
        return [visible(producer.http_address) for producer in found.producers]

    async def _read(self, address: str) -> Reading:
        api = self._nsqd_apis.get(address)
        if api is None:
            api = self._nsqd_apis[address] = Nsqd(
                address, timeout=self._request_timeout, connect_timeout=self._connect_timeout
            )
        stats = await api.stats(self._topic, self._channel, clients=False, memory=False)
        return reading(address, time.monotonic(), stats, self._topic)

    async def _leave(self, address: str) -> None:
        await self._nsqds.pop(address).close()
        api = self._nsqd_apis.pop(address, None)
        if api is not None:
            await api.close()


def _some(reasons: Sequence[str]) -> str:
    told = list(dict.fromkeys(reasons))
    more = len(told) - MOST_SHOWN
    return "; ".join(told[:MOST_SHOWN]) + (f"; and {more} more" if more > 0 else "")
