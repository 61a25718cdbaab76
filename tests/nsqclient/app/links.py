"""Talks to the subscriptions of an app at a scripted nsqd."""

from __future__ import annotations

from tests.support.fake_nsqd import FakeNsqd, Link


class Subscribed:
    """One subscription at ``server``, by its channel."""

    def __init__(self, server: FakeNsqd, topic: str = "t", channel: str = "c") -> None:
        self.server = server
        self._sub = f"SUB {topic} {channel}"
        self._sent = 0

    @property
    def link(self) -> Link:
        """Its newest connection."""
        return [link for link in self.server.links if self._sub in link.commands][-1]

    @property
    def commands(self) -> list[str]:
        """What came on that connection."""
        return list(self.link.commands)

    def send(self, body: bytes, *, attempts: int = 1) -> str:
        """Sends a message; returns its ID."""
        self._sent += 1
        number = f"{self._sent:016x}"
        self.link.message(body, message_id=number, attempts=attempts)
        return number

    async def answered(self, *answers: str) -> None:
        """Waits until these have come, in whatever order."""
        await self.server.until(lambda: set(answers) <= set(self.commands))
