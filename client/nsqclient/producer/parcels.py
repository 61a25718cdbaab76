"""What is written to a nsqd and answered by it, and the publishes that depend on the answer.

A plain publish is its own parcel, so that the common case is one object. A batch is a parcel with several
publishes; a publish that goes to several nsqds has a parcel for each.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator

from nsqclient.errors import Outcome, PublishError
from nsqclient.producer.delivery import Receipt
from nsqcore.wire import commands

WAITING, CHANGED, OVER = range(3)
"""To be sent; to be looked at before it is sent; done with, and not to be sent."""

MakeError = Callable[[], PublishError]
"""Makes the error anew for each who is to raise it."""


Stamp = Callable[[bool], bytes]
"""Makes the command anew, or a bare body if told so: some headers are about the time of sending."""


class Fates:
    """Who hears what became of publishes."""

    def stored(self, publish: Publish, now: float) -> None:
        """It succeeded."""
        raise NotImplementedError

    def failed(self, publish: Publish, error: Exception) -> None:
        """It failed for good."""
        raise NotImplementedError

    def copy_ended(self, publish: Publish, error: PublishError | None, node: str) -> None:
        """It has succeeded without one of its copies, which has ended now or before."""
        raise NotImplementedError

    def released(self, publish: Publish) -> None:
        """Nothing of it is under way any more."""
        raise NotImplementedError


class Parcel:
    """A command for one nsqd, and how its sending went."""

    __slots__ = (
        "attempts",
        "command",
        "failures",
        "maybe_stored",
        "node",
        "on_wire",
        "state",
        "topic",
        "waiters",
    )

    def __init__(self, topic: str, command: bytes) -> None:
        self.topic: str = topic
        self.command: bytes = command
        self.state: int = WAITING
        self.node: str = ""
        """The nsqd it was written to last."""
        self.on_wire: bool = False
        """Written, and not answered."""
        self.attempts: int = 0
        self.failures: int = 0
        """How many of the attempts came to nothing by their own fault, and count against the limit."""
        self.maybe_stored: bool = False
        """An answer to an earlier attempt was lost."""
        self.waiters: list[asyncio.Future[None]] | None = None

    @property
    def keyed(self) -> bool:
        """Whether consumers can recognise a second one."""
        raise NotImplementedError

    @property
    def cancelled(self) -> bool:
        """Whether it is waited for by a caller that was cancelled in this turn of the loop."""
        return False

    @property
    def out_of_time(self) -> bool:
        """Whether nobody waits for it any more."""
        return self.state == OVER

    def refresh(self) -> bool:
        """Makes it ready to be sent once more after it was changed; False when it is not to be sent."""
        return self.state != OVER

    def changed(self) -> None:
        """It is to be sent once more: what depends on the time is made anew."""

    def fail(self, make: MakeError, fates: Fates) -> None:
        """It will not be tried again."""
        raise NotImplementedError

    def drop_abandoned(self, make: MakeError, fates: Fates) -> bool:
        """Leaves out whose caller does not wait any more; says whether there is nothing else to send."""
        raise NotImplementedError

    def parts(self) -> list[Publish]:
        """What to send one by one instead, if a single one of them may be to blame."""
        return []


class Publish(Parcel):
    """One publish of a caller; see ``Delivery`` for what the caller may do with it."""

    __slots__ = (
        "abandoned",
        "acked_at",
        "carrier",
        "count",
        "deadline",
        "error",
        "key",
        "loose",
        "note",
        "queued_at",
        "size",
        "stamp",
        "submitted",
    )

    def __init__(
        self,
        topic: str,
        command: bytes,
        count: int,
        key: str | None,
        note: object,
        submitted: bool,
        queued_at: float,
        deadline: float,
    ) -> None:
        # Parcel's fields are set here: a call of super() for each message is a twentieth of its cost
        self.topic = topic
        self.command: bytes = command
        self.state: int = WAITING
        self.node = ""
        self.on_wire = False
        self.attempts = 0
        self.failures = 0
        self.maybe_stored = False
        self.count: int = count
        self.key: str | None = key
        self.note: object = note
        self.submitted: bool = submitted
        """Its caller does not wait, so the outcome is to be reported."""
        self.queued_at: float = queued_at
        self.deadline: float = deadline
        self.size: int = len(command)
        """What it takes of the producer's room."""
        self.acked_at: float = 0.0
        self.error: Exception | None = None
        self.waiters = None
        self.loose: bool = False
        """Its command is a bare body, to go with others."""
        self.stamp: Stamp | None = None
        self.carrier: Parcel | None = None
        """The batch that has it."""
        self.abandoned: bool = False
        """Its caller was cancelled after it had been written."""

    @property
    def done(self) -> bool:
        """Whether its outcome is known."""
        return self.state == OVER

    def __await__(self) -> Generator[object, None, Receipt]:
        if self.state != OVER:
            waiter = asyncio.get_running_loop().create_future()
            if self.waiters is None:
                self.waiters = [waiter]
            else:
                self.waiters.append(waiter)
            yield from waiter
        if self.error is not None:
            raise self.error
        return self.receipt()

    @property
    def cancelled(self) -> bool:
        """Whether its caller was cancelled in this turn of the loop, and will say so in the next."""
        waiters = self.waiters
        return waiters is not None and not self.submitted and waiters[0].cancelled()

    def wake(self) -> None:
        """Those who wait for it go on."""
        waiters = self.waiters
        if waiters is not None:
            self.waiters = None
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_result(None)

    @property
    def outcome(self) -> Outcome:
        """What to say if it ends now without an answer."""
        parcel = self.carrier or self
        return "unknown" if parcel.on_wire or parcel.maybe_stored else "not_sent"

    @property
    def acked_nodes(self) -> tuple[str, ...]:
        """The nsqds that have it."""
        return (self.node,) if self.state == OVER and self.error is None else ()

    def receipt(self) -> Receipt:
        """For one that is stored."""
        return Receipt(
            self.topic, (self.node,), self.count, self.attempts, self.queued_at, self.acked_at, self.key
        )

    @property
    def keyed(self) -> bool:
        """Whether consumers can recognise a second one."""
        return self.key is not None

    def changed(self) -> None:
        """It is to be sent once more: what depends on the time is made anew."""
        if self.stamp is not None and self.state == WAITING:
            self.state = CHANGED

    def refresh(self) -> bool:
        """Makes it ready to be sent once more after it was changed; False when it is not to be sent."""
        if self.state == CHANGED:
            self.state = WAITING
            if self.stamp is not None:
                self.command = self.stamp(self.loose)
        return self.state != OVER

    def fail(self, make: MakeError, fates: Fates) -> None:
        """It will not be tried again."""
        fates.failed(self, make())

    def drop_abandoned(self, make: MakeError, fates: Fates) -> bool:
        """True when it was abandoned."""
        if self.abandoned and self.state != OVER:
            self.fail(make, fates)
        return self.abandoned

    @property
    def under_way(self) -> bool:
        """Whether parts of it go on although its outcome is known."""
        return False

    @property
    def open_nodes(self) -> str:
        """Where parts of it are under way, for people."""
        return ""

    def give_up(self) -> None:
        """Its time is over: what is under way for it is not to be sent again."""
        if self.carrier is not None and self.carrier.state == WAITING:
            self.carrier.state = CHANGED


class Gathered(Parcel):
    """A batch: one MPUB, each message of which is somebody's publish.

    Its members keep their bodies in ``command``.
    """

    __slots__ = ("members",)

    command: bytes

    def __init__(self, topic: str, members: list[Publish]) -> None:
        super().__init__(topic, b"")
        self.members: list[Publish] = members
        self.state: int = CHANGED
        for member in members:
            member.carrier = self

    @property
    def keyed(self) -> bool:
        """Whether consumers can recognise a second one of each."""
        return all(member.keyed for member in self.members)

    def refresh(self) -> bool:
        """Leaves out whoever was cancelled or ran out of time."""
        if self.state == CHANGED:
            for member in self.members:
                if member.cancelled:  # its caller is about to ask what became of it
                    member.carrier, member.maybe_stored = None, self.maybe_stored
            self.members = [m for m in self.members if m.state != OVER and not m.cancelled]
            if not self.members:
                self.state = OVER
                return False
            self.state = WAITING
            for member in self.members:
                member.refresh()
            self.command = commands.encode_mpub(self.topic, [member.command for member in self.members])
        return self.state != OVER

    def changed(self) -> None:
        """It is to be sent once more: what depends on the time is made anew."""
        for member in self.members:
            member.changed()
            if member.state == CHANGED and self.state == WAITING:
                self.state = CHANGED

    @property
    def out_of_time(self) -> bool:
        """Whether nobody waits for any of it any more."""
        return all(member.state == OVER for member in self.members)

    def stored(self, now: float) -> list[Publish]:
        """nsqd has stored all of it: the members that are still waited for."""
        members = self._end()
        for member in members:
            member.acked_at = now
        return members

    def fail(self, make: MakeError, fates: Fates) -> None:
        """None of it will be tried again."""
        for member in self._end():
            fates.failed(member, make())

    def drop_abandoned(self, make: MakeError, fates: Fates) -> bool:
        """Leaves out those that were abandoned."""
        for member in self.members:
            if member.drop_abandoned(make, fates) and self.state == WAITING:
                self.state = CHANGED
        return not self.refresh()

    def parts(self) -> list[Publish]:
        """Each message by itself; the batch is no more."""
        parts = self._end()
        for part in parts:
            part.loose = False
            part.command = commands.encode_pub(part.topic, part.command)
            part.changed()
        return parts

    def _end(self) -> list[Publish]:
        """The members that are still waited for, told how the sending of all went."""
        self.state = OVER
        members = [member for member in self.members if member.state != OVER]
        self.members, self.command = [], b""
        for member in members:
            member.carrier = None
            member.node, member.attempts, member.failures = self.node, self.attempts, self.failures
            member.maybe_stored = self.maybe_stored
        return members
