"""When messages come again that failed because nobody was there to take them: soon, while that has not lasted long."""

from __future__ import annotations

import time
from collections.abc import Callable

from nsqclient.consumer.failures import LinearRequeue
from nsqclient.tools.common.client_settings import ClientSettings
from nsqclient.tools.common.sources import Sources

SHORTEST = 1.0
"""Seconds until a message comes again at least."""
USUAL = LinearRequeue()
"""When a message comes again that fails otherwise: this is the latest."""


class Outage:
    """Since when nothing could be passed on, and so how long messages wait.

    They wait as long again as the outage has lasted: ten seconds of it cost the messages that were under way ten
    more and not ninety, and nothing is tried more often the longer it lasts. Back-off says how many are tried.
    One that is to blame itself, as whoever takes it breaks, waits twice as long each time.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        """``now`` is in seconds."""
        self._now = now
        self._since: float | None = None

    def over(self) -> None:
        """Something was passed on."""
        self._since = None

    def delay(self, attempts: int) -> float:
        """Nothing was: in how many seconds a message is to come again that has had so many attempts."""
        now = self._now()
        if self._since is None:
            self._since = now
        wait = max(now - self._since, SHORTEST * 2.0 ** min(attempts - 1, 16))
        return min(wait, USUAL.delay(attempts))


def outage_of(options: Sources) -> Outage | None:
    """None where the options say when messages come again, or count their attempts, which must not be used up soon."""
    return None if ClientSettings(options.consumer_opt).limits_retries else Outage()
