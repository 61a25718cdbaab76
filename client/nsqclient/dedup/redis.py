"""A store of keys in Redis, for consumers in several processes (extra: ``redis``)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from nsqclient.dedup.store import CLAIMED, CONFIRMED, Claim
from nsqclient.durations import to_ms

if TYPE_CHECKING:
    from redis.asyncio import Redis
    from redis.asyncio.client import Pipeline

DONE = "done"
"""What a confirmed key holds; a claimed one holds ``run:`` and its owner."""


class RedisStore:
    """Remembers keys in Redis, below ``prefix``; the client is yours, and yours to close.

    ::

        store = RedisStore(redis.asyncio.Redis.from_url("redis://cache:6379"))

    Keys expire by themselves. A claim of a process that died holds until its time is over. What Redis
    forgets, as a failover to a replica may make it, can be worked on twice.
    """

    def __init__(self, client: Redis, *, prefix: str = "nsq-dedup:") -> None:
        self._client = client
        self._prefix = prefix

    async def claim(self, key: str, owner: str, timeout: float) -> Claim:
        """Takes a key, as :class:`Store` says; raises what the client raises."""
        name, mine, timeout_ms = self._prefix + key, f"run:{owner}", max(1, to_ms(timeout))
        while True:
            if await self._client.set(name, mine, nx=True, px=timeout_ms):
                return CLAIMED
            async with self._client.pipeline(transaction=True) as both:
                both.get(name)
                both.pttl(name)
                held, left_ms = cast(tuple[bytes | str | None, int], await both.execute())
            if held is None:
                continue  # it expired between the two
            text = _text(held)
            if text == DONE:
                return CONFIRMED
            if text != mine:
                return Claim("running", max(0, left_ms) / 1000)
            if await self._if_mine(name, mine, lambda p: p.pexpire(name, timeout_ms)):
                return CLAIMED

    async def confirm(self, key: str, owner: str, window: float) -> None:
        """Remembers a key as done, as :class:`Store` says; raises what the client raises."""
        await self._client.set(self._prefix + key, DONE, px=max(1, to_ms(window)))

    async def release(self, key: str, owner: str) -> None:
        """Gives a key back, as :class:`Store` says; raises what the client raises."""
        name = self._prefix + key
        await self._if_mine(name, f"run:{owner}", lambda p: p.delete(name))

    async def _if_mine(self, name: str, mine: str, queue: Callable[[Pipeline], object]) -> bool:
        """Does what ``queue`` adds, unless the key is another's by then; tells whether it did."""
        from redis.exceptions import WatchError  # the extra is needed by users of this alone

        async with self._client.pipeline(transaction=True) as step:
            await step.watch(name)
            held: bytes | str | None = await step.get(name)
            if held is None or _text(held) != mine:
                return False
            step.multi()  # type: ignore[no-untyped-call]
            queue(step)
            try:
                await step.execute()
            except WatchError:
                return False
            return True


def _text(held: bytes | str) -> str:
    """Clients may be told to decode by themselves."""
    return held.decode() if isinstance(held, bytes) else held
