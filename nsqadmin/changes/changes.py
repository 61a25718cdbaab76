"""Makes changes, whoever asks: pages and the API have each one made, audited and told here."""

from __future__ import annotations

from nsqadmin.changes import actions
from nsqadmin.changes.actions import Change, Outcome
from nsqadmin.changes.audit import Audit
from nsqadmin.changes.notify import Notifier, Origin
from nsqadmin.cluster.cluster import Cluster
from nsqcore.errors import HttpError


class Changes:
    """The one way to change a cluster; who may is decided before."""

    def __init__(self, cluster: Cluster, audit: Audit, notifier: Notifier) -> None:
        self.cluster = cluster
        self.audit = audit
        self.notifier = notifier

    async def make(self, change: Change, origin: Origin) -> Outcome:
        """What became of it on each daemon; raises Unknown or Unreachable when there was nothing to make it on."""
        try:
            outcome = await actions.apply(self.cluster, change)
        except HttpError as e:
            self.audit.change(change, origin, "not done", e.code)
            raise
        self.audit.changed(outcome, origin)
        self.notifier.tell(outcome, origin)
        return outcome
