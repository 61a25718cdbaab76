"""What other programs took of the machine meanwhile: a benchmark beside them measures them as well."""

from __future__ import annotations

import os
import resource
import sys
import time

QUIET = 0.1
"""The share that others may take of a machine which is called quiet."""


class Others:
    """The share of all cores that went to neither this process nor to its children that have ended."""

    def __init__(self) -> None:
        self._began, self._busy, self._own = time.monotonic(), busy_seconds(), own_seconds()

    def share(self) -> float:
        """From 0 to 1, since this was made; what the system takes for interrupts, and another guest's time, count in."""
        passed = (time.monotonic() - self._began) * (os.cpu_count() or 1)
        theirs = busy_seconds() - self._busy - (own_seconds() - self._own)
        return max(theirs, 0.0) / passed

    def warn(self) -> None:
        """Tells standard error when the machine was not quiet."""
        if (share := self.share()) > QUIET:
            print(
                f"bench: others took {share:.0%} of this machine: measure again when it is quiet",
                file=sys.stderr,
            )


def busy_seconds() -> float:
    """Seconds for which the machine's cores were not idle, in total."""
    with open("/proc/stat", encoding="ascii") as file:
        user, nice, system, _, _, interrupts, soft, stolen = map(int, file.readline().split()[1:9])
    return (user + nice + system + interrupts + soft + stolen) / os.sysconf("SC_CLK_TCK")


def own_seconds() -> float:
    """CPU seconds of this process and of its children that were waited for."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)
