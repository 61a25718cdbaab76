"""When a message has had enough attempts, and what happens to it then."""

from __future__ import annotations

import inspect
import logging
from collections import OrderedDict
from contextvars import Context, copy_context
from math import inf

from nsqclient.consumer.backoff import Signal
from nsqclient.consumer.dead_letter import DeadLetters, Why
from nsqclient.consumer.events import Events, Expired, GaveUp
from nsqclient.consumer.failures import Failures, GiveUpHook
from nsqclient.consumer.message import FINISHED, Message, message_facts
from nsqclient.content.scope import NOWHERE, surroundings
from nsqclient.errors import DeadLetter, NsqError
from nsqclient.tasks import Tasks

log = logging.getLogger(__name__)

CANCEL_TIMEOUT = 0.5
"""Seconds that functions which give messages up are waited for once they are cancelled."""
EXCUSED = 10_000
"""Messages that are remembered as excused; the oldest are forgotten."""


class GiveUp:
    """Ends messages that failed too often, that are declared dead, or that came too late."""

    def __init__(self, rules: Failures, letters: DeadLetters | None, events: Events) -> None:
        """``letters`` is None when there is no topic for them."""
        self.count: int = 0
        self.expired: int = 0
        self._attempts = rules.attempts
        self.suspicious: float = rules.attempts or inf
        """Only a message of more deliveries than that can be :meth:`overdue`."""
        self._hook: GiveUpHook | None = rules.hook
        self._expired_are_letters = rules.expiry == "dead_letter"
        self._letters = letters
        self._events = events
        self._tasks = Tasks(self._broke)
        self._excused: OrderedDict[tuple[str, bytes], int] = OrderedDict()

    def excuse(self, message: Message) -> None:
        """This delivery was no attempt: nobody tried."""
        name = (message.node, message.id_bytes)
        self._excused[name] = self._excused.pop(name, 0) + 1
        if len(self._excused) > EXCUSED:
            self._excused.popitem(last=False)

    def overdue(self, message: Message) -> bool:
        """Gives up a message that has not been handed out and was delivered too often before."""
        if not self._attempts or self._tried(message) <= self._attempts:
            return False
        self._give_up(message, None, None, "attempts")
        return True

    def after_failure(self, message: Message, error: BaseException | None, signal: Signal) -> bool:
        """Gives up a message that just failed for the last time; ``signal`` is what that counts as."""
        if not self._attempts or self._tried(message) < self._attempts:
            return False
        self._give_up(message, error, signal, "attempts")
        return True

    def at_once(self, message: Message, error: DeadLetter) -> None:
        """Gives up a message that no further attempt can help."""
        if self._letters is None and self._hook is None:
            log.error(
                "a handler raised DeadLetter, but there is no topic for dead letters (Failures.dead_letter)",
                extra=message_facts(message),
            )
        self._give_up(message, error, Signal.CONTINUE, "handler")

    def expire(self, message: Message, late: float) -> None:
        """Ends a message whose sender's deadline passed ``late`` seconds ago."""
        self.expired += 1
        if self._events.wanted:
            self._events.emit(Expired(message.node, message.id, late))
        message.given_up = True
        if self._letters is not None and self._expired_are_letters:
            self._start(message, None, None, "expired", None)
        else:
            message.source.end_given_up(message, None)

    async def cancel(self) -> None:
        """Ends what is being done to give messages up; they are requeued."""
        await self._tasks.stop(CANCEL_TIMEOUT)
        if self._letters is not None:
            await self._letters.close()

    def _tried(self, message: Message) -> int:
        """How many deliveries there were, this one included, that somebody may have worked on."""
        if not self._excused:
            return message.attempts
        return message.attempts - self._excused.get((message.node, message.id_bytes), 0)

    def _give_up(
        self, message: Message, error: BaseException | None, signal: Signal | None, why: Why
    ) -> None:
        self.count += 1
        if self._events.wanted:
            self._events.emit(GaveUp(message.node, message.id, message.attempts, error))
        message.given_up = True
        if self._hook is None and self._letters is None:
            log.error(
                "giving up message %s of topic %s after %d attempts",
                message.id,
                message.topic,
                message.attempts,
                exc_info=error,
                extra=message_facts(message),
            )
            message.source.end_given_up(message, signal)
            return
        # what a handler declares dead is a letter, also where a function gives up the rest
        letter = why == "handler" and self._letters is not None
        self._start(message, error, signal, why, None if letter else self._hook)

    def _start(
        self,
        message: Message,
        error: BaseException | None,
        signal: Signal | None,
        why: Why,
        hook: GiveUpHook | None,
    ) -> None:
        message.state = FINISHED  # decided; the FIN follows when all has been done
        work = self._run(message, error, signal, why, hook)
        self._tasks.start(work, "nsqclient give-up", detached_context())

    async def _run(
        self,
        message: Message,
        error: BaseException | None,
        signal: Signal | None,
        why: Why,
        hook: GiveUpHook | None,
    ) -> None:
        try:
            if hook is not None:
                result = hook(message, error)
                if inspect.isawaitable(result):
                    await result
            else:
                assert self._letters is not None
                await self._letters.publish(message, error, why)
        except BaseException as e:
            message.given_up = False
            if message.state is FINISHED:
                if isinstance(e, Exception):
                    message.source.requeue(message, None)
                else:
                    message.source.hand_back(message)
            raise
        if message.state is FINISHED:  # else it was lost, or handed back, meanwhile
            message.source.end_given_up(message, signal)

    def _broke(self, error: BaseException) -> None:
        known = isinstance(error, NsqError)  # a letter that could not be published: the text says it all
        log.error("giving up a message failed, it is requeued - %s", error, exc_info=None if known else error)


def detached_context() -> Context:
    """A copy of the context without the scope around: its end must not keep us from cleaning up after it."""
    context = copy_context()
    context.run(surroundings.set, NOWHERE)
    return context
