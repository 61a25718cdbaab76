"""Asks nsqlookupds which topics there are: at once, and then again and again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, NoReturn
from urllib.parse import urlsplit, urlunsplit

from nsqclient.credentials import read_secret
from nsqclient.discovery.targets import Lookup
from nsqclient.errors import NsqError

if TYPE_CHECKING:
    from nsqclient.http.lookupd import Lookupd

log = logging.getLogger(__name__)

MOST_BYTES = 16 << 20
"""Of an answer: more than 200,000 names of topics take."""


async def discover(
    lookup: Lookup,
    found: Callable[[Iterable[str]], None],
    *,
    refresh: float,
    connect_timeout: float,
    request_timeout: float,
) -> NoReturn:
    """Tells ``found`` the topics that any nsqlookupd names, now and every ``refresh`` seconds (0: now only).

    A nsqlookupd that does not answer delays the others by ``request_timeout`` at most and hides none of their
    topics; what it says wrong is logged at each refresh. Goes on until it is cancelled.
    """
    from nsqclient.http.lookupd import Lookupd  # aiohttp takes long to import, and only this needs it

    secret = ""
    async with AsyncExitStack() as stack:
        lookupds = [
            await stack.enter_async_context(
                Lookupd(
                    _base(url),
                    timeout=request_timeout,
                    connect_timeout=connect_timeout,
                    tls=lookup.tls,
                    auth=lambda: secret,
                    max_answer=MOST_BYTES,
                )
            )
            for url in lookup.lookup_urls
        ]
        while True:
            try:
                secret = "" if lookup.auth is None else await read_secret(lookup.auth)
            except Exception as e:  # noqa: BLE001 - a file or whatever else it is read from: we go on trying
                log.error("could not retrieve topic list: could not read the secret: %s", e)
            else:
                found(await _topics(lookupds))
            await asyncio.sleep(refresh) if refresh > 0 else await asyncio.Event().wait()


async def _topics(lookupds: Iterable[Lookupd]) -> set[str]:
    """What any of them names; those that fail are logged."""
    names: set[str] = set()

    async def ask(lookupd: Lookupd) -> None:
        try:
            names.update(await lookupd.topics())
        except NsqError as e:
            log.error("could not retrieve topic list: %s", e)

    await asyncio.gather(*map(ask, lookupds))
    return names


def _base(lookup_url: str) -> str:
    """The URL under which nsqlookupd's API is, of one that consumers are given."""
    parts = urlsplit(lookup_url)
    stem = parts.path.rstrip("/").removesuffix("/lookup")
    return urlunsplit(parts._replace(path=stem, query=""))
