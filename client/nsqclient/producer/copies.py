"""One publish to several nsqds: when it has succeeded, and what is known when it has not."""

from __future__ import annotations

from nsqclient.errors import Outcome, PublishError, PublishNotSent, PublishRejected, PublishUnknown
from nsqclient.producer.delivery import Receipt
from nsqclient.producer.parcels import OVER, Fates, MakeError, Parcel, Publish


class Redundant(Publish):
    """A publish with a copy for each of several nsqds.

    It succeeds with the ack that makes it enough, and fails as soon as there can't be enough any more. The
    copies that are under way then go on.
    """

    __slots__ = ("copies", "degraded", "errors", "needed", "nodes")

    def split(self, count: int, needed: int, degraded: bool) -> list[Copy]:
        """Makes the copies; ``needed`` of them are enough."""
        self.needed: int = needed
        self.degraded: bool = degraded
        self.nodes: list[str] = []
        self.errors: list[PublishError] = []
        self.copies: list[Copy] = [Copy(self) for _ in range(count)]
        return self.copies

    @property
    def made(self) -> bool:
        """Whether there are copies."""
        return hasattr(self, "copies")

    @property
    def taken(self) -> set[str]:
        """The nsqds that have a copy or may have one."""
        return {copy.node for copy in self.copies if copy.node and (copy.on_wire or copy.state == OVER)}

    @property
    def under_way(self) -> bool:
        """Whether copies go on although the outcome is known."""
        return self.made and any(copy.state != OVER for copy in self.copies)

    @property
    def outcome(self) -> Outcome:
        """What to say if it ends now."""
        if not self.made:
            return "not_sent"
        sent = self.nodes or any(copy.on_wire or copy.maybe_stored for copy in self.copies)
        return "unknown" if sent or any(e.outcome == "unknown" for e in self.errors) else "not_sent"

    @property
    def acked_nodes(self) -> tuple[str, ...]:
        """The nsqds that have it."""
        return tuple(self.nodes) if self.made else ()

    def receipt(self) -> Receipt:
        """For one that enough nsqds have stored."""
        attempts = sum(copy.attempts for copy in self.copies)
        nodes = tuple(self.nodes)
        degraded = self.degraded
        return Receipt(
            self.topic, nodes, self.count, attempts, self.queued_at, self.acked_at, self.key, degraded
        )

    def do_without(self, copy: Copy, now: float, fates: Fates) -> None:
        """One copy fewer: there is no nsqd for it."""
        if self.needed == len(self.copies):
            self.needed -= 1
        self.degraded = True
        copy.state = OVER
        self.copies.remove(copy)
        if self.state != OVER and len(self.nodes) >= self.needed:
            fates.stored(self, now)
            for error in self.errors:
                fates.copy_ended(self, error, error.node)
        elif self.state == OVER and not self.under_way:
            fates.released(self)

    @property
    def open_nodes(self) -> str:
        """Where copies are under way, for people."""
        return ", ".join(copy.node for copy in self.copies if copy.state != OVER)

    def give_up(self) -> None:
        """Its time is over: no copy is sent again."""
        if self.made:
            for copy in self.copies:
                copy.state = OVER

    def failure(self) -> PublishError:
        """Why there are not enough, once too many copies have failed."""
        first = self.errors[0]
        outcomes = {error.outcome for error in self.errors}
        kind: type[PublishUnknown | PublishNotSent | PublishRejected]
        if self.outcome == "unknown":
            kind = PublishUnknown
        else:
            kind = PublishNotSent if outcomes == {"not_sent"} else PublishRejected
        return kind(
            f"{len(self.nodes)} of {len(self.copies)} copies are stored, {self.needed} are wanted: {first}",
            code=first.code,
            node=first.node,
            attempts=sum(copy.attempts for copy in self.copies),
            acked_nodes=self.acked_nodes,
        )


class Copy(Parcel):
    """One of them."""

    __slots__ = ("of",)

    command: bytes
    state: int

    def __init__(self, of: Redundant) -> None:
        super().__init__(of.topic, of.command)
        self.of: Redundant = of

    @property
    def keyed(self) -> bool:
        """Always: consumers must recognise them anyway."""
        return True

    def changed(self) -> None:
        """It is to be sent once more: what depends on the time is made anew."""
        if self.of.stamp is not None:
            self.command = self.of.stamp(False)

    def acked(self, now: float, fates: Fates) -> None:
        """One more nsqd has it."""
        self.state = OVER
        of = self.of
        of.nodes.append(self.node)
        if of.state == OVER:
            fates.copy_ended(of, None, self.node)
        elif len(of.nodes) >= of.needed:
            fates.stored(of, now)
            for error in of.errors:
                fates.copy_ended(of, error, error.node)

    def fail(self, make: MakeError, fates: Fates) -> None:
        """This one is lost."""
        self.state = OVER
        of = self.of
        error = make()
        of.errors.append(error)
        if of.state == OVER:
            fates.copy_ended(of, error, self.node)
        elif len(of.copies) - len(of.errors) < of.needed:
            fates.failed(of, of.failure())

    def drop_abandoned(self, make: MakeError, fates: Fates) -> bool:
        """True when the publish was abandoned."""
        if self.of.abandoned and self.state != OVER:
            self.fail(make, fates)
        return self.of.abandoned
