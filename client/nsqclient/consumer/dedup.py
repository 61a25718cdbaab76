"""Work on messages of one key effectively once: which are the same, and who works on them."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Callable, Coroutine
from dataclasses import KW_ONLY, dataclass
from functools import partial
from itertools import count
from typing import cast
from weakref import WeakKeyDictionary

from nsqclient.consumer.message import FINISHED, HELD, LOST, REQUEUED, Message, Source, State, message_facts
from nsqclient.dedup.store import CLAIMED, Claim, Store
from nsqclient.durations import Seconds, to_seconds, within
from nsqclient.tasks import Tasks

log = logging.getLogger(__name__)

Key = Callable[[Message], str]
"""Tells a message's key: messages of one key are the same work."""

Tell = Callable[[], Coroutine[object, object, None]]

SOON = 1.0
"""Seconds that a duplicate first waits for the message that is being worked on."""
END_TIMEOUT = 1.0
"""Seconds for the store to take what it must be told when the consumer ends."""


def by_message_id(message: Message) -> str:
    """The nsqd and the message's ID: knows redeliveries by that nsqd, not copies on others."""
    return f"{message.node}/{message.id}"


@dataclass(frozen=True, slots=True)
class Dedup:
    """Has messages of one key handled effectively once within ``window`` seconds.

    A message's key is what its header ``message-key`` says, which a producer's ``key=`` and ``copies=``
    set; where there is none, what ``key`` says; without that, :func:`by_message_id`. Without ``key`` the
    consumer must read headers. Topics and channels have keys of their own.

    A key is claimed before its message is handed out, confirmed when it was finished, released when it
    comes again. A duplicate of a confirmed key is finished. One of a key that is being worked on is
    requeued, for a second at first, then for as long as the claim holds.
    """

    store: Store
    """Remembers the keys: a MemoryStore, a RedisStore, or one of your own."""
    _: KW_ONLY
    window: Seconds = 600.0
    """Seconds that a key is remembered after its message was finished."""
    key: Key | None = None
    """Tells a message's key where no header does; None is :func:`by_message_id`."""
    claim_timeout: Seconds = 60.0
    """Seconds that the claim of a process that died holds; claims of work under way are renewed."""
    store_timeout: Seconds = 5.0
    """Seconds to wait for the store. When it fails the message is requeued with back-off, unhandled."""

    def __post_init__(self) -> None:
        within("window", self.window, 0.001)
        within("claim_timeout", self.claim_timeout, 0.01)
        within("store_timeout", self.store_timeout, 0.001)


@dataclass(slots=True)
class DedupCounts:
    """Of a whole consumer."""

    duplicates: int = 0
    """Finished without being handed out."""
    waiting: int = 0
    """Times that a duplicate was requeued, as its key was being worked on."""
    store_failures: int = 0
    """Times that the store failed or did not answer."""


class Claims:
    """The claims of one consumer."""

    def __init__(
        self,
        rules: Dedup,
        *,
        max_delay: float,
        excuse: Callable[[Message], None],
        duplicate: Callable[[Message, str], None],
        failed: Callable[[BaseException], None],
    ) -> None:
        """``excuse`` is told of deliveries that must not count as attempts, ``duplicate`` of duplicates."""
        self.counts: DedupCounts = DedupCounts()
        self._store = rules.store
        self._key = rules.key or by_message_id
        self._window = to_seconds(rules.window)
        self._claim_timeout = to_seconds(rules.claim_timeout)
        self._store_timeout = to_seconds(rules.store_timeout)
        self._max_delay = max_delay
        self._excuse = excuse
        self._duplicate = duplicate
        self._owner = uuid.uuid4().hex
        self._numbers = count()
        self._held: WeakKeyDictionary[Claimed, float] = WeakKeyDictionary()
        """Since when. Of a message that is lost, and that its user has forgotten, nobody will tell the end."""
        self._tasks = Tasks(failed)
        self._renewing: asyncio.Task[object] | None = None

    async def admit(self, message: Message) -> bool:
        """Whether the message is to be handed out; if not, it is answered by then.

        Cancelling it leaves the message as it was.
        """
        if isinstance(cast(object, message.source), Claimed):
            return True  # it was handed out before, and put back
        try:
            key = f"{message.topic}/{message.channel}/{message.key or self._key(message)}"
        except Exception as e:
            log.error(
                "the dedup key of message %s can't be told",
                message.id,
                exc_info=e,
                extra=message_facts(message),
            )
            message.settle(e)
            return False
        owner = f"{self._owner}-{next(self._numbers)}"
        try:
            async with asyncio.timeout(self._store_timeout):
                claim = await self._store.claim(key, owner, self._claim_timeout)
        except asyncio.CancelledError:
            self._tell(partial(self._store.release, key, owner), key)
            raise
        except Exception as e:  # noqa: BLE001 - a store may raise anything; the message is not handed out
            self._store_failed(message, key, owner, e)
            return False
        if message.state is not HELD:
            if claim is CLAIMED:
                self._tell(partial(self._store.release, key, owner), key)
            return False
        if claim.state == "claimed":
            claimed = Claimed(message.source, message, key, owner, self)
            self._held[claimed] = asyncio.get_running_loop().time()
            message.source = cast(Source, claimed)
            if self._renewing is None:
                self._renewing = self._tasks.start(self._renew(), "nsqclient dedup renewal")
            return True
        self._refuse(message, key, claim)
        return False

    def end(self, claimed: Claimed, *, done: bool) -> None:
        """The message of a claim was answered."""
        if self._held.pop(claimed, None) is not None:
            key, owner = claimed.key, claimed.owner
            if done:
                self._tell(partial(self._store.confirm, key, owner, self._window), key)
            else:
                self._tell(partial(self._store.release, key, owner), key)

    async def close(self) -> None:
        """Releases what is held, and waits a moment until the store knows all."""
        if self._renewing is not None:
            self._renewing.cancel()
        for claimed in list(self._held):
            self.end(claimed, done=False)
        await self._tasks.finish(END_TIMEOUT)

    def _refuse(self, message: Message, key: str, claim: Claim) -> None:
        if claim.state == "confirmed":
            self.counts.duplicates += 1
            self._duplicate(message, key)
            message.finish()
            return
        self.counts.waiting += 1
        self._excuse(message)
        # each delivery counts as an attempt for nsqd: so no more of them than it takes
        delay = SOON if message.attempts <= 1 else max(SOON, claim.remaining)
        message.requeue(min(delay, self._max_delay), backoff=False)

    def _store_failed(self, message: Message, key: str, owner: str, error: Exception) -> None:
        self.counts.store_failures += 1
        log.error(
            "the dedup store failed, message %s is requeued unhandled",
            message.id,
            exc_info=error,
            extra=message_facts(message),
        )
        self._tell(partial(self._store.release, key, owner), key)  # it may have been claimed all the same
        self._excuse(message)
        if message.state is HELD:
            message.requeue()

    def _tell(self, work: Tell, key: str) -> None:
        self._tasks.start(self._bounded(work, key), "nsqclient dedup")

    async def _bounded(self, work: Tell, key: str) -> None:
        try:
            async with asyncio.timeout(self._store_timeout):
                await work()
        except Exception as e:  # noqa: BLE001 - what it means is told
            self.counts.store_failures += 1
            log.warning("the dedup store failed, key %s may be worked on twice or late: %r", key, e)

    async def _renew(self) -> None:
        loop = asyncio.get_running_loop()
        every = self._claim_timeout / 3
        while True:
            await asyncio.sleep(every)
            for claimed, since in list(self._held.items()):
                # of a message that is lost nobody may ever tell the end: its claim lapses
                if claimed not in self._held or loop.time() - since < every or claimed.message.state is LOST:
                    continue
                try:
                    async with asyncio.timeout(self._store_timeout):
                        claim = await self._store.claim(claimed.key, claimed.owner, self._claim_timeout)
                except Exception as e:  # noqa: BLE001 - tried again in a while
                    self.counts.store_failures += 1
                    log.warning("the dedup store failed, claims are not renewed: %r", e)
                    break
                if claim.state != "claimed":
                    log.warning(
                        "key %s is %s elsewhere while it is worked on here",
                        claimed.key,
                        claim.state,
                        extra=message_facts(claimed.message),
                    )


class Claimed:
    """Stands between a message and where its answers go, and tells its claim how it ended."""

    def __init__(self, source: Source, message: Message, key: str, owner: str, claims: Claims) -> None:
        self.message = message
        self.key = key
        self.owner = owner
        self._source = source
        self._claims = claims

    def __getattr__(self, name: str) -> object:
        return getattr(self._source, name)

    def finished(self, *arguments: object) -> object:
        """It is done, for good."""
        return self._pass_on("finished", arguments, done=True)

    def end_given_up(self, *arguments: object) -> object:
        """It was given up: its copies would fare no better, and are duplicates."""
        return self._pass_on("end_given_up", arguments, done=True)

    def requeue(self, *arguments: object) -> object:
        """It comes again."""
        return self._pass_on("requeue", arguments, done=False)

    def hand_back(self, *arguments: object) -> object:
        """It comes again."""
        return self._pass_on("hand_back", arguments, done=False)

    def too_late(self, message: Message, wanted: State) -> None:
        """nsqd will deliver it again; done is done all the same."""
        self._source.too_late(message, wanted)
        if wanted is not HELD:
            self._claims.end(self, done=wanted is FINISHED)

    def failed(self, *arguments: object) -> object:
        """It comes again, or is being given up, of which :meth:`end_given_up` or :meth:`requeue` tells then."""
        result = self._call("failed", arguments)
        if self.message.state is REQUEUED:
            self._claims.end(self, done=False)
        return result

    def _call(self, name: str, arguments: tuple[object, ...]) -> object:
        return getattr(self._source, name)(*arguments)

    def _pass_on(self, name: str, arguments: tuple[object, ...], *, done: bool) -> object:
        result = self._call(name, arguments)
        self._claims.end(self, done=done)
        return result
