"""Makes changes, whoever asks: pages and the API have each one made, audited and told here."""

from __future__ import annotations

from collections.abc import Callable

from nsqadmin.changes import actions, publishing
from nsqadmin.changes.actions import Change, Outcome
from nsqadmin.changes.audit import Audit
from nsqadmin.changes.notify import Notifier, Origin
from nsqadmin.changes.publishing import Message, Published
from nsqadmin.changes.trail import Did
from nsqadmin.cluster.cluster import Cluster
from nsqcore.errors import HttpError


def _nothing() -> None:
    pass


class Changes:
    """The one way to change a cluster; who may is decided before."""

    def __init__(self, cluster: Cluster, audit: Audit, notifier: Notifier) -> None:
        self.cluster = cluster
        self.audit = audit
        self.notifier = notifier
        self.changed: Callable[[], None] = _nothing
        """Called after each change, and after each that failed: part of it may have been made."""

    async def make(self, change: Change, origin: Origin) -> Outcome:
        """What became of it on each daemon; raises Unknown or Unreachable when there was nothing to make it on."""
        try:
            outcome = await actions.apply(self.cluster, change)
        except HttpError as e:
            self.audit.change(change, origin, "not done", e.code)
            raise
        finally:
            self.changed()
        self.audit.changed(outcome, origin)
        self.notifier.tell(outcome, origin)
        return outcome

    async def publish(self, message: Message, origin: Origin) -> list[Published]:
        """What each node answered; raises Unknown and Unreachable as :func:`publishing.publish` does."""
        noun = "message" if message.copies == 1 else "messages"
        what = f"{message.copies} {noun} of {len(message.body)} bytes" + (
            f", held back {message.delay_ms} ms" if message.delay_ms else ""
        )
        try:
            published = await publishing.publish(self.cluster, message)
        except HttpError as e:
            self.audit.published(message.topic, message.node, origin, "not done", f"{what}: {e.code}")
            raise
        taken, failed = sum(one.count for one in published), any(one.problem for one in published)
        result = "partly done" if taken and failed else "done" if taken else "not done"
        steps = [
            Did(f"nsqd {one.node.http_address}", one.problem.reason, failed=True)
            if one.problem
            else Did(f"nsqd {one.node.http_address}", f"{one.count} published")
            for one in published
        ]
        node = published[0].node.name if len(published) == 1 else ""
        self.audit.published(message.topic, node, origin, result, what, tuple(steps))
        return published
