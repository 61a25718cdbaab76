"""When a message has had enough attempts, and what happens to it then."""

from __future__ import annotations

import logging

from nsqclient.consumer.backoff import Signal
from nsqclient.consumer.failures import GiveUpHook
from nsqclient.consumer.message import FINISHED, LOST, Message
from nsqclient.errors import DeadLetter
from nsqclient.tasks import Tasks

log = logging.getLogger(__name__)


class GiveUp:
    """Ends messages after ``attempts`` deliveries; 0 never does."""

    def __init__(self, attempts: int, hook: GiveUpHook | None) -> None:
        self.count = 0
        self._attempts = attempts
        self._hook = hook
        self._tasks = Tasks(self._broke)

    def overdue(self, message: Message) -> bool:
        """Gives up a message that has not been handed out and was delivered too often before."""
        if not self._attempts or message.attempts <= self._attempts:
            return False
        self._give_up(message, None, None)
        return True

    def after_failure(self, message: Message, error: BaseException | None, signal: Signal) -> bool:
        """Gives up a message that just failed for the last time; ``signal`` is what that counts as."""
        if not self._attempts or message.attempts < self._attempts:
            return False
        self._give_up(message, error, signal)
        return True

    def at_once(self, message: Message, error: DeadLetter) -> None:
        """Gives up a message that no further attempt can help."""
        self._give_up(message, error, Signal.CONTINUE)

    async def cancel(self) -> None:
        """Ends the hooks that run; their messages are requeued."""
        await self._tasks.stop()

    def _give_up(self, message: Message, error: BaseException | None, signal: Signal | None) -> None:
        self.count += 1
        message.given_up = True
        if self._hook is None:
            log.error(
                "giving up message %s of topic %s after %d attempts",
                message.id,
                message.topic,
                message.attempts,
                exc_info=error,
            )
            message.source.end_given_up(message, signal)
        else:
            message.state = FINISHED  # decided; the FIN follows when the hook has done its part
            self._tasks.start(self._run_hook(self._hook, message, error, signal), "nsqclient give-up")

    async def _run_hook(
        self, hook: GiveUpHook, message: Message, error: BaseException | None, signal: Signal | None
    ) -> None:
        try:
            await hook(message, error)
        except BaseException as e:
            message.given_up = False
            if message.state is not LOST:
                if isinstance(e, Exception):
                    message.source.requeue(message, None)
                else:
                    message.source.hand_back(message)
            raise
        if message.state is not LOST:
            message.source.end_given_up(message, signal)

    def _broke(self, error: BaseException) -> None:
        log.error("the give-up hook failed, its message is requeued", exc_info=error)
