"""How an app is doing, for a probe or a page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from nsqclient.consumer.consumer import ConsumerStats
from nsqclient.lifecycle import Phase

State = Literal["running", "failed", "stopped"]


@dataclass(frozen=True, kw_only=True, slots=True)
class SubscriptionHealth:
    """One subscription of an app."""

    topic: str
    channel: str
    state: State
    """``failed`` when it died, for :attr:`error`; ``stopped`` when it was told to end."""
    error: str
    """Empty unless it failed."""
    ready: bool
    """Whether it runs and a nsqd is connected."""
    reasons: tuple[str, ...]
    """What is wrong, for people; a nsqd that can't be reached is named although others do."""
    stats: ConsumerStats


@dataclass(frozen=True, kw_only=True, slots=True)
class AppHealth:
    """How an app is doing. ``dataclasses.asdict`` makes it fit for JSON."""

    phase: Phase
    """``new``, ``open``, ``closing`` or ``closed``."""
    live: bool
    """Nothing has died. When it is False the process had better be started again."""
    ready: bool
    """It is open, nothing has died, and every subscription is connected to a nsqd."""
    subscriptions: tuple[SubscriptionHealth, ...]
    """How each of them is doing."""
