"""What becomes of messages whose work keeps failing, in the tools that pass messages on.

A message is tried again without end, unless ``--consumer-opt=max_attempts,N`` says how often. One that had its
last attempt is told by an ERROR line, goes to ``--dead-letter-topic`` where one is named, and is finished only
then. So nothing is lost without a line about it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace

from nsqclient.checks import check_name
from nsqclient.consumer.failures import Failures
from nsqclient.consumer.message import Message, message_facts
from nsqclient.errors import ConfigError
from nsqclient.producer.producer import Producer
from nsqcore.options import option

CLOSE_TIMEOUT = 0.5
"""Seconds for a producer of letters to end; each letter was confirmed or has failed by then."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class DeadLettering:
    """The flag of the tools that have one; a mixin of their options."""

    dead_letter_topic: str = option(
        "",
        "topic for messages that are given up, on the nsqd they came from; see max_attempts of --consumer-opt",
    )


def check_dead_lettering(options: DeadLettering, topics: Collection[str]) -> None:
    """Raises ConfigError for a bad name, and for one of ``topics``, which are read."""
    name = options.dead_letter_topic
    if not name:
        return
    try:
        check_name("topic", name)
    except ConfigError:
        raise ConfigError("--dead-letter-topic is invalid") from None
    if name in topics:
        raise ConfigError(f"--dead-letter-topic {name} is a topic that is read: its letters would come back")


class GivingUp:
    """Ends a message that had its last attempt; a function for ``Failures.give_up``, see :func:`giving_up`.

    ``make`` makes a producer for the nsqd of an address. One lives while letters are on their way to its nsqd, so
    there is nothing to close, and no connection to a nsqd that is gone.
    """

    def __init__(self, topic: str, make: Callable[[str], Producer]) -> None:
        """``topic`` is where letters go; empty: there are none."""
        self.topic = topic
        self.count: int = 0
        """How many messages were given up, letters included."""
        self._make = make
        self._offices: dict[str, _Office] = {}
        self._opening = asyncio.Lock()

    async def __call__(self, message: Message, error: BaseException | None) -> None:
        """Tells of it, once a letter is stored if there is to be one.

        Raises PublishError when it is not: the message is requeued then, and given up when it comes again.
        """
        why = "it was not handled" if error is None else str(error) or type(error).__name__
        facts = message_facts(message)
        if self.topic:
            await self._publish(message)
            log.error(
                "message %s of %d bytes is now in topic %s, given up after %d attempts - %s",
                message.id,
                len(message.body),
                self.topic,
                message.attempts,
                why,
                extra=facts,
            )
        else:
            log.error(
                "giving up message %s of %d bytes after %d attempts, it is lost - %s",
                message.id,
                len(message.body),
                message.attempts,
                why,
                extra=facts,
            )
        self.count += 1

    async def _publish(self, message: Message) -> None:
        node = message.node
        async with self._opening:
            office = self._offices.get(node)
            if office is None:
                producer = self._make(node)
                await producer.__aenter__()
                office = self._offices[node] = _Office(producer)
            office.letters += 1
        try:
            await office.producer.publish(self.topic, message.body)
        finally:
            office.letters -= 1
            if not office.letters:
                del self._offices[node]
                await office.producer.close(CLOSE_TIMEOUT)


def giving_up(failures: Failures, hook: GivingUp) -> Failures:
    """The same rules, with what is given up going through ``hook``."""
    return replace(failures, give_up=hook, dead_letter=None, dead_letter_producer=None)


@dataclass(slots=True)
class _Office:
    """A producer, and how many letters it has at present."""

    producer: Producer
    letters: int = 0
