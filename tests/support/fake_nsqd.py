"""The scripted nsqd of ``nsqclient.testing`` on a real socket: what it is told to do, over TCP.

::

    async with FakeNsqd() as nsqd:
        nsqd.script("PUB", silence, refuse("E_PUB_FAILED PUB failed exiting"))
        ...
        await nsqd.expect("IDENTIFY", "SUB t c", "RDY 5")
        nsqd.message(b"x")
"""

from __future__ import annotations

from typing import Self

from nsqclient.testing.scripted import (
    AGREEMENT,
    Link,
    Reaction,
    ScriptedNsqd,
    drop,
    ok,
    refuse,
    silence,
)

__all__ = ["AGREEMENT", "FakeNsqd", "Link", "Reaction", "drop", "ok", "refuse", "silence"]


class FakeNsqd(ScriptedNsqd):
    """Listens while the block runs; ``address`` is where."""

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def start(self) -> None:
        """Listens; again at the same port after :meth:`stop`."""
        await super().start()
        port = int(self.address.rpartition(":")[2]) if self.address.startswith("127.") else 0
        self.address = await self.listen(port=port)
