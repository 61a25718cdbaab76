"""Waiting until something is so, looked at whenever something has happened."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class News:
    """Those who wait look again each time they are told that something happened."""

    def __init__(self) -> None:
        self._something = asyncio.Event()

    def tell(self) -> None:
        """Something happened that somebody may be waiting for."""
        self._something.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Until it holds."""
        while not condition():
            self._something.clear()  # all who wait are woken by the next news, whoever cleared it
            await self._something.wait()
