"""Decides about each message before it is handed out: is it too late, a duplicate, or a killer?"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from nsqclient.connection.options import ConnectionOptions
from nsqclient.consumer.dead_letter import DeadLetters
from nsqclient.consumer.dedup import Claims, Dedup
from nsqclient.consumer.enveloped import EnvelopedMessage
from nsqclient.consumer.events import Duplicate, Events
from nsqclient.consumer.failures import Failures
from nsqclient.consumer.giveup import GiveUp
from nsqclient.consumer.message import Message
from nsqclient.discovery.targets import Lookup, Nsqd
from nsqclient.durations import to_seconds
from nsqclient.errors import ConfigError
from nsqclient.pauses import Chance
from nsqclient.producer.producer import Producer


class Admission:
    """What a consumer's messages have to pass, and the ways out for those that don't."""

    def __init__(
        self,
        rules: Failures,
        dedup: Dedup | None,
        *,
        topic: str,
        target: Nsqd | Lookup,
        options: ConnectionOptions,
        headers: bool,
        events: Events,
        failed: Callable[[BaseException], None],
        chance: Chance,
    ) -> None:
        """``headers`` tells whether messages may have some. Raises ConfigError."""
        if dedup is not None and dedup.key is None and not headers:
            raise ConfigError(
                "Dedup goes by the header 'message-key', but the consumer does not read headers: give it "
                "headers='auto', or Dedup(key=...), with nsqclient.by_message_id for redeliveries alone"
            )
        if rules.dead_letter == topic:
            raise ConfigError(f"dead letters of topic {topic} can't go to that same topic")
        letters = None
        if rules.dead_letter is not None:

            def make() -> Producer:
                return Producer(
                    target, options=options, headers="auto" if headers else "never", chance=chance
                )

            letters = DeadLetters(rules.dead_letter, rules.dead_letter_producer, make)
        self.letters = letters
        self.give_up: GiveUp = GiveUp(rules, letters, events)
        self.claims: Claims | None = None
        if dedup is not None:
            self.claims = Claims(
                dedup,
                max_delay=to_seconds(options.limits.max_delay),
                excuse=self.give_up.excuse,
                duplicate=self._duplicate,
                failed=failed,
            )
        self._events = events
        self.expires: bool = headers and rules.expiry != "run"
        """Whether messages end with their senders' deadlines."""
        self.needed: bool = self.expires or self.claims is not None
        """Whether :meth:`admit` has anything to decide."""

    @property
    def dead_letters(self) -> int:
        """How many were published."""
        return 0 if self.letters is None else self.letters.count

    @property
    def duplicates(self) -> int:
        """How many were finished without being handed out."""
        return 0 if self.claims is None else self.claims.counts.duplicates

    async def admit(self, message: Message) -> bool:
        """Whether the message may be handed out; if not it is answered, or will be.

        Cancelling it leaves the message as it was.
        """
        if self.expires and isinstance(message, EnvelopedMessage):
            expires_at = message.brought.expires_at
            if expires_at is not None and (late := time.time() - expires_at) > 0:
                self.give_up.expire(message, late)
                return False
        return self.claims is None or await self.claims.admit(message)

    async def close(self) -> None:
        """What is being done for messages ends; they are requeued."""
        claims = () if self.claims is None else (self.claims.close(),)
        await asyncio.gather(self.give_up.cancel(), *claims)

    def _duplicate(self, message: Message, key: str) -> None:
        if self._events.wanted:
            self._events.emit(Duplicate(message.node, message.id, key))
