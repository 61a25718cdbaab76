"""What the answer of a nsqd, or its absence, means for a publish: stored, sent once more, or failed; and how."""

from __future__ import annotations

import asyncio
from functools import partial

from nsqclient.connection.state import Refusal
from nsqclient.errors import ConnectError, PublishError, PublishNotSent, PublishRejected, PublishUnknown
from nsqclient.producer.copies import Copy
from nsqclient.producer.ledger import Ledger
from nsqclient.producer.options import RetryPolicy
from nsqclient.producer.parcels import OVER, Gathered, Parcel, Publish
from nsqclient.producer.sending import Sending

NODE_REASONS = frozenset({"E_PUB_FAILED", "E_DPUB_FAILED"})
"""The message was not stored for a reason of that nsqd (its disk, its shutdown): another may take it."""
HALF_WAY = "E_MPUB_FAILED"
"""Some of the messages may be stored."""
ONE_TO_BLAME = frozenset({"E_BAD_MESSAGE", "E_BAD_BODY"})
"""One message of an MPUB may be why all were refused."""


class Answers:
    """Hears from all outlets of a producer."""

    def __init__(self, retry: RetryPolicy, ledger: Ledger, sending: Sending) -> None:
        self._retry = retry
        self._ledger = ledger
        self._sending = sending
        self._loop = asyncio.get_running_loop()

    def acked(self, parcels: list[Parcel]) -> None:
        """nsqd has stored them."""
        now = self._loop.time()
        publishes: list[Publish] = []
        for parcel in parcels:
            if type(parcel) is Publish:
                if parcel.state != OVER:
                    parcel.acked_at = now
                    publishes.append(parcel)
            elif isinstance(parcel, Gathered):
                publishes += parcel.stored(now)
            elif isinstance(parcel, Copy) and parcel.state != OVER:
                parcel.acked(now, self._ledger)
        if publishes:
            self._ledger.stored_all(publishes)

    def refused(self, parcel: Parcel, refusal: Refusal) -> None:
        """nsqd has refused it; for reasons of its own it may go elsewhere."""
        if parcel.state == OVER:
            return
        code, retry = refusal.code, self._retry
        if code == HALF_WAY:
            self._unknown_fate(parcel, refusal.text, code)
            return
        if code in ONE_TO_BLAME and not parcel.maybe_stored:
            parts = parcel.parts()
            if parts:
                self._resend(list(parts))
                return
        parcel.failures += 1
        if code in NODE_REASONS and parcel.failures < retry.attempts:
            self._resend([parcel])
            return
        kind = PublishUnknown if parcel.maybe_stored else PublishRejected
        text, node, attempts = f"{parcel.node}: {refusal.text}", parcel.node, parcel.attempts
        parcel.fail(lambda: kind(text, code=code, node=node, attempts=attempts), self._ledger)

    def unsent(self, parcels: list[Parcel]) -> None:
        """nsqd never looked at them."""
        self._resend(parcels)

    def _resend(self, parcels: list[Parcel]) -> None:
        """Sends them again, though not for a caller that was cancelled."""
        wanted = [
            parcel for parcel in parcels if not parcel.drop_abandoned(partial(dropped, parcel), self._ledger)
        ]
        for parcel in wanted:
            parcel.changed()
        self._sending.resend(wanted)

    def unanswered(self, parcels: list[Parcel], error: ConnectError) -> None:
        """Their answers are lost."""
        for parcel in reversed(parcels):
            if parcel.state != OVER:
                self._unknown_fate(parcel, f"{error}; the answer was lost", "")

    def _unknown_fate(self, parcel: Parcel, why: str, code: str) -> None:
        parcel.maybe_stored = True
        parcel.failures += 1
        retry = self._retry
        harmless = retry.on_unknown == "retry" or (retry.on_unknown == "auto" and parcel.keyed)
        if harmless and parcel.failures < retry.attempts:
            self._resend([parcel])
            return
        node, attempts = parcel.node, parcel.attempts
        parcel.fail(lambda: PublishUnknown(why, code=code, node=node, attempts=attempts), self._ledger)


def dropped(parcel: Parcel) -> PublishError:
    """What became of one that is not sent again, as its caller was cancelled."""
    kind = PublishUnknown if parcel.maybe_stored else PublishNotSent
    text = f"the publish to topic {parcel.topic} was cancelled before a nsqd had confirmed it"
    return kind(text, node=parcel.node, attempts=parcel.attempts)
