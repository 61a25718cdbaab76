"""Who did what, when, from where, and what came of it: a log line each, and a trail to look at.

Changes have a trail of their own, so that whoever guesses passwords can't push them out of it.
"""

from __future__ import annotations

import heapq
import logging
import time
from collections.abc import Iterator
from pathlib import Path

from nsqadmin.changes.actions import Change, Outcome
from nsqadmin.changes.notify import Origin
from nsqadmin.changes.trail import Did, Entry, Trail

log = logging.getLogger(__name__)

MOST_CHANGES, MOST_OTHERS = 1000, 500
_LONGEST_DETAIL = 2000


class Audit:
    """Hears of all that somebody does or tries. ``folder`` keeps it over restarts; empty for memory alone."""

    def __init__(self, folder: str = "") -> None:
        self._changes = Trail(MOST_CHANGES, Path(folder, "audit.jsonl") if folder else None)
        self._others = Trail(MOST_OTHERS, Path(folder, "audit-access.jsonl") if folder else None)

    async def start(self) -> None:
        """Reads what was kept."""
        await self._changes.start()
        await self._others.start()

    async def stop(self) -> None:
        """Writes what is left."""
        await self._changes.stop()
        await self._others.stop()

    def entries(self, user: str = "", topic: str = "") -> Iterator[Entry]:
        """Newest first; only those of a user, only those about topics whose name has ``topic`` in it."""
        merged = heapq.merge(self._changes, self._others, key=lambda entry: entry.at, reverse=True)
        wanted = topic.lower()
        return (entry for entry in merged if user in ("", entry.user) and wanted in entry.topic.lower())

    def changed(self, outcome: Outcome, origin: Origin) -> None:
        """A change was made, or tried at the daemons."""
        done, failures = outcome.done, outcome.failures
        steps = [
            Did(f"{step.daemon} {step.address}", step.problem.reason, not step.problem.absent)
            if step.problem
            else Did(f"{step.daemon} {step.address}", step.did)
            for step in outcome.steps
        ]
        steps += [Did(f"{p.daemon} {p.address}", p.reason, failed=True) for p in outcome.problems]
        result = "partly done" if done and failures else "done" if done else "not done"
        self.change(
            outcome.change, origin, result, f"done by {len(done)} of {len(outcome.steps)}", tuple(steps)
        )

    def change(
        self, change: Change, origin: Origin, result: str, detail: str, steps: tuple[Did, ...] = ()
    ) -> None:
        """As :meth:`changed`, with what came of it in the caller's words."""
        self.note(
            Entry(
                at=time.time(),
                action=f"{change.verb.value} {change.kind}",
                result=result,
                user=origin.user,
                remote=origin.remote,
                topic=change.topic,
                channel=change.channel,
                node=change.node,
                detail=detail[:_LONGEST_DETAIL],
                steps=steps,
            ),
            is_change=True,
        )

    def published(
        self, topic: str, node: str, origin: Origin, result: str, detail: str, steps: tuple[Did, ...] = ()
    ) -> None:
        """Messages were published by hand, or could not be."""
        entry = Entry(
            at=time.time(),
            action="publish to",
            result=result,
            user=origin.user,
            remote=origin.remote,
            topic=topic,
            node=node,
            detail=detail[:_LONGEST_DETAIL],
            steps=steps,
        )
        self.note(entry, is_change=True)

    def access(self, action: str, origin: Origin, result: str, detail: str = "") -> None:
        """A login or a logout, something refused, or an option that was set."""
        self.note(
            Entry(time.time(), action, result, origin.user, origin.remote, detail=detail[:_LONGEST_DETAIL])
        )

    def note(self, entry: Entry, *, is_change: bool = False) -> None:
        """Logs an entry and keeps it."""
        (self._changes if is_change else self._others).add(entry)
        name = f"{entry.topic}/{entry.channel}" if entry.channel else entry.topic
        target = f"{name} on {entry.node}" if entry.node else name
        failed = "".join(f"; {step.daemon}: {step.text}" for step in entry.steps if step.failed)
        log.info(
            "ADMIN: %s by %s (%s): %s%s",
            f"{entry.action} {target}".rstrip(),
            entry.user or "anybody",
            entry.remote,
            entry.detail or entry.result,
            failed,
            extra={
                "fields": {
                    "user": entry.user,
                    "remote": entry.remote,
                    "action": entry.action,
                    "topic": entry.topic,
                    "channel": entry.channel,
                    "node": entry.node,
                    "result": entry.result,
                }
            },
        )
