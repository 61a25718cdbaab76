"""What was said of each message by its publisher, and what its consumers saw."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Collection, Coroutine
from typing import Any

from nsqclient import Closed, NsqError, Producer, PublishError, Receipt
from nsqclient.producer.reports import Report


def tasks_of_ours() -> list[str]:
    """The names of the library's tasks that run, but for the one that asks."""
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    return [task.get_name() for task in tasks if task.get_name().startswith("nsqclient")]


class Ledger:
    """Every message has a number for its body, and one outcome."""

    def __init__(self) -> None:
        self.stored: dict[bytes, str] = {}
        """Confirmed, with the nsqd that did."""
        self.absent: set[bytes] = set()
        """Certainly not stored: not sent, or rejected."""
        self.unknown: set[bytes] = set()
        self.open: set[bytes] = set()
        """Nobody has said yet."""
        self.seen: Counter[bytes] = Counter()
        """Worked on to the end by a consumer."""
        self.calls = 0
        """Publishes that the producer took part in; an MPUB is one."""
        self._count = 0

    def bodies(self, count: int = 1) -> list[bytes]:
        """New messages."""
        self._count += count
        made = [b"%d" % n for n in range(self._count - count, self._count)]
        self.open.update(made)
        return made

    async def record(self, bodies: list[bytes], call: Coroutine[Any, Any, Receipt]) -> None:
        """Awaits the publish of these, and writes down what it says; hides a cancellation."""
        self.calls += 1
        try:
            receipt = await call
        except asyncio.CancelledError as e:
            words = " ".join(getattr(e, "__notes__", ["was not sent"]))
            if "is stored by" in words:
                self.note(bodies, node="?")
            elif "may be stored" in words:
                self.note(bodies, outcome="unknown")
            else:
                assert "not sent" in words or "was not taken" in words or "rejected" in words, words
                self.note(bodies, outcome="not_sent")
        except PublishError as e:
            self.note(bodies, outcome=e.outcome)
        except Closed:
            self.calls -= 1
            self.note(bodies, outcome="not_sent")
        else:
            self.note(bodies, node=receipt.nodes[0])

    def note(self, bodies: list[bytes], *, node: str = "", outcome: str = "") -> None:
        """What is known of them now."""
        assert self.open.issuperset(bodies), f"told twice: {bodies}"
        self.open.difference_update(bodies)
        if node:
            self.stored.update(dict.fromkeys(bodies, node))
        elif outcome == "unknown":
            self.unknown.update(bodies)
        else:
            self.absent.update(bodies)

    def report(self, report: Report) -> None:
        """Of a message that was submitted with its body for a note."""
        if not isinstance(report.note, bytes):
            return
        if report.receipt is not None:
            self.note([report.note], node=report.receipt.nodes[0])
        else:
            assert isinstance(report.error, NsqError)
            outcome = getattr(report.error, "outcome", "not_sent")
            self.note([report.note], outcome=outcome)

    async def listen(self, producer: Producer) -> None:
        """Writes down the producer's reports, until it is closed."""
        async for report in producer.reports():
            self.report(report)

    def check(self, lost: Collection[bytes] = ()) -> None:
        """Nothing is missing but what is ``lost``; nothing came that was not sent."""
        assert not self.open, f"no outcome: {sorted(self.open)}"
        missing = self.stored.keys() - self.seen.keys() - set(lost)
        assert not missing, f"confirmed and never delivered: {sorted(missing)}"
        ghosts = self.seen.keys() & self.absent
        assert not ghosts, f"said not to be sent, and delivered: {sorted(ghosts)}"
        assert self.seen.keys() <= self.stored.keys() | self.unknown
