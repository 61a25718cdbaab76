"""What the workers have to know about messages, and about batches of them."""

from __future__ import annotations

import asyncio
import time
from contextvars import Context, copy_context
from math import inf

from nsqclient.consumer.batches import MessageBatch
from nsqclient.consumer.enveloped import EnvelopedMessage
from nsqclient.consumer.giveup import GiveUp
from nsqclient.consumer.message import HELD, Message, message_facts
from nsqclient.consumer.thread_message import ThreadMessage
from nsqclient.content.propagation import handling_context
from nsqclient.content.scope import NOWHERE, surroundings

LOGGED_IDS = 10
"""Message IDs of a batch that a log record names."""


class Messages:
    """One message at a time."""

    def __init__(self, give_up: GiveUp, *, expire: bool) -> None:
        """``expire`` tells whether a passed deadline ends a message. Handlers get the context of the caller."""
        self._give_up = give_up
        self._within_scope = surroundings.get() is not NOWHERE
        self._expire = expire

    def settle(self, item: Message, error: BaseException | None) -> None:
        """As :meth:`Message.settle`."""
        item.settle(error)

    def lease_end(self, item: Message) -> float:
        """No matter any more once it is answered."""
        if item.state is not HELD:
            return inf
        source = item.source
        soft, hard = item.renewed_at + source.lease, item.received_at + source.longest
        if hard < soft:
            soft = hard
        return soft - source.margin

    def deadline(self, item: Message) -> float:
        """Of the sender's request."""
        return self._deadline(item) if self._expire else inf

    def expire(self, item: Message) -> None:
        """As the consumer's ``on_expired`` says."""
        if item.state is HELD:
            self._give_up.expire(item, 0.0)

    def context(self, item: Message) -> Context:
        """With the scope that the message brought along."""
        if not isinstance(item, EnvelopedMessage) or not item.headers:
            return handling_context() if self._within_scope else copy_context()
        deadline = self._deadline(item)
        return handling_context(item.brought, None if deadline == inf else deadline)

    def facts(self, item: Message) -> dict[str, object]:
        """For a log record."""
        return {"what": f"message {item.id} of topic {item.topic}", **message_facts(item)}

    def for_thread(self, item: Message, loop: asyncio.AbstractEventLoop) -> Message:
        """Whose answers may be given from a thread."""
        return ThreadMessage(item, loop)

    @staticmethod
    def _deadline(item: Message) -> float:
        if not isinstance(item, EnvelopedMessage) or item.brought.expires_at is None:
            return inf
        return asyncio.get_running_loop().time() + (item.brought.expires_at - time.time())


class Batches:
    """Several messages at a time; what is told of each by itself is told of all."""

    def __init__(self, messages: Messages) -> None:
        self._messages = messages

    def settle(self, item: MessageBatch, error: BaseException | None) -> None:
        """As :meth:`Message.settle`, each."""
        item.end(error)

    def lease_end(self, item: MessageBatch) -> float:
        """Of the message that has the least time left."""
        return min(map(self._messages.lease_end, item.messages))

    def deadline(self, item: MessageBatch) -> float:
        """None: what one sender does not want any more is no reason to stop for the others."""
        return inf

    def expire(self, item: MessageBatch) -> None:
        """Never asked for."""

    def context(self, item: MessageBatch) -> Context:
        """Without the scopes that the messages brought along, which differ."""
        return handling_context()

    def facts(self, item: MessageBatch) -> dict[str, object]:
        """For a log record."""
        ids = [message.id for message in item.messages[:LOGGED_IDS]]
        what = f"a batch of {len(item)} messages of topic {item[0].topic}"
        return {"what": what, "topic": item[0].topic, "channel": item[0].channel, "message_ids": ids}

    def for_thread(self, item: MessageBatch, loop: asyncio.AbstractEventLoop) -> MessageBatch:
        """Whose answers may be given from a thread."""
        return MessageBatch([ThreadMessage(message, loop) for message in item.messages])
