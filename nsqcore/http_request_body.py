"""The body of an HTTP request, which comes in no faster than its handler wants it."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Protocol

from nsqcore.errors import HttpError
from nsqcore.wire.http_body import BadBody, ChunkedBody, FixedBody

MOST_UNREAD = 256 << 10
"""Bytes of a body that nobody wanted that are still taken to keep the connection; also of what is pipelined."""


class Carrier(Protocol):
    """The connection that a body comes in by."""

    def pace(self) -> None:
        """Reads on, or not: how much is wanted has changed."""

    def go_on(self) -> None:
        """Asks the client for the body that it keeps back."""

    def body_ended(self) -> None:
        """No more of it comes."""


class RequestBody:
    """The body of a request, read when its handler wants it."""

    def __init__(self, connection: Carrier, length: int | None, waits: bool) -> None:
        self._connection = connection
        self._decoder = ChunkedBody() if length is None else FixedBody(length)
        self._length = length
        self._parts: list[bytes] = []
        self._size = 0
        self._wanted = MOST_UNREAD  # bytes that are kept before no more is read
        self._throw_away = False
        self._fault = ""
        self._changed: asyncio.Event | None = None
        self._nobody_waits = asyncio.Event()
        self.waits = waits
        """The client wants to be asked for it, and was not."""

    @property
    def ended(self) -> bool:
        """Whether no more of it comes."""
        return self._decoder.complete or self._fault != ""

    @property
    def broken(self) -> bool:
        """Whether its end will never come."""
        return self._fault != ""

    @property
    def left(self) -> int | None:
        """Bytes that are still to come; None when nobody knows."""
        return self._decoder.left

    @property
    def full(self) -> bool:
        """Whether as much of it is here as is wanted for now."""
        return self._size > self._wanted and not self._throw_away and not self.ended

    def feed(self, data: bytes) -> bytes:
        """Takes what came; returns what is behind the body."""
        try:
            parts, rest = self._decoder.feed(data)
        except BadBody as e:
            self.fail(str(e))
            return b""
        self._size += sum(map(len, parts))
        if not self._throw_away:
            self._parts += parts
        if self.ended:
            self._connection.body_ended()
        self._wake()
        return rest

    def fail(self, why: str) -> None:
        """Its end will never come, unless it is here."""
        if not self.ended:
            self._fault = why
            self._connection.body_ended()
            self._wake()

    def hang_up(self) -> None:
        """The client sends no more, or the server ends."""
        self._nobody_waits.set()

    def _wake(self) -> None:
        if self._changed is not None:
            self._changed.set()

    async def _until(self, enough: int | None) -> None:
        """Waits for the end, or for more than so many bytes; raises BadBody."""
        if self.waits:
            self.waits = False
            self._connection.go_on()
        changed = self._changed = asyncio.Event()
        while not self.ended and (enough is None or self._size <= enough):
            changed.clear()
            self._connection.pace()
            await changed.wait()
        if self._fault and (enough is None or self._size <= enough):
            raise BadBody(self._fault)

    def check(self, limit: int, refusal: HttpError) -> None:
        """Raises ``refusal`` when the client says that it is longer than ``limit`` bytes."""
        if self._length is not None and self._length > limit:
            raise refusal

    async def read(self, limit: int, refusal: HttpError) -> bytes:
        """All of it; raises ``refusal`` when it is longer than ``limit`` bytes, BadBody when it breaks off."""
        self.check(limit, refusal)
        self._wanted = limit
        await self._until(limit)
        if self._size > limit:
            raise refusal
        return b"".join(self._parts)

    async def skip(self) -> None:
        """Waits for its end and keeps nothing of it; raises BadBody when it breaks off."""
        self._throw_away = True
        self._parts.clear()
        await self._until(None)

    async def hung_up(self, timeout: float) -> None:
        """Waits until the client sends no more or the server ends, but no longer than ``timeout`` seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._nobody_waits.wait()

    async def drain(self, limit: int) -> bool:
        """Throws the rest away; whether the end came within so many bytes."""
        self._throw_away = True
        self._parts.clear()
        try:
            await self._until(self._size + limit)
        except BadBody:
            return False
        return self._decoder.complete
