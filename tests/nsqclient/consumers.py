"""Consumers for tests: they do not wait, at their end, for messages that the test left unanswered."""

from __future__ import annotations

from typing import Any

from nsqclient import Consumer, FullJitter
from nsqclient.discovery.targets import Target

QUICK = FullJitter(0.001, cap=0.01)
OPENING = ("IDENTIFY", "SUB t c")


def make(target: Target, **settings: Any) -> Consumer:
    """Of topic t and channel c."""
    return Consumer("t", "c", target, **{"drain": 0, **settings})
