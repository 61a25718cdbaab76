"""Feeds what is read to all destinations: at once, or no faster than a rate."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from nsqclient.tools.from_stdin.destinations import Destination
from nsqclient.tools.from_stdin.reading import Reader
from nsqclient.tools.from_stdin.records import Records, bundles
from nsqclient.tools.from_stdin.tokens import Tokens

BUNDLE = 256 << 10
"""Bytes of one command: large enough to cost nothing for each record, small enough to be answered soon."""


class Feed:
    """Numbers the records as they come, from 1, and sends each to each destination."""

    def __init__(
        self,
        reader: Reader,
        records: Records,
        destinations: Sequence[Destination],
        *,
        rate: int,
        max_body_size: int,
    ) -> None:
        """``rate`` is records per second at most, 0 any number."""
        self._reader = reader
        self._records = records
        self._destinations = destinations
        self._max_bytes = min(BUNDLE, max_body_size)
        self._loop = asyncio.get_running_loop()
        self._tokens = Tokens(rate, self._loop.time()) if rate else None
        self._hurried = asyncio.Event()
        self._next = 1

    def stop(self) -> None:
        """Reads no more; what was read is sent without waiting."""
        self._reader.stop()
        self._hurried.set()

    async def run(self) -> None:
        """Until the input ends, or a record is too large. Raises OSError when it can't be read."""
        while chunk := await self._reader.take():
            await self._take(self._records.add(chunk))
            if self._records.refusal:
                return
        if not self._reader.stopped:  # else it may be half a record
            await self._take(self._records.end())

    async def _take(self, records: Sequence[bytes]) -> None:
        tokens = self._tokens
        if tokens is None:
            await self._send(records)
            return
        start = 0
        while start < len(records):
            now = self._loop.time()
            count = len(records) if self._hurried.is_set() else tokens.available(now)
            part = records[start : start + count]
            tokens.take(len(part), now)
            await self._send(part)
            start += len(part)
            await self._wait(tokens.wait(self._loop.time()))

    async def _wait(self, seconds: float) -> None:
        """The time of one record is waited for even when it is the last, so that the rate holds to the end."""
        if seconds > 0:
            try:
                async with asyncio.timeout(seconds):
                    await self._hurried.wait()
            except TimeoutError:
                pass

    async def _send(self, records: Sequence[bytes]) -> None:
        for bundle in bundles(records, self._max_bytes):
            for destination in self._destinations:
                await destination.send(self._next, bundle)
            self._next += len(bundle)
