"""Memory: what this process may have of the machine, and what it has."""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Iterable
from contextlib import suppress

_STATUS = "/proc/self/status"
_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
"""Where a container finds its own limit, by the two versions of Linux's control groups."""


def usable_bytes(limits: Iterable[str] = _LIMITS) -> int:
    """Bytes of memory that this process may use: the machine's, or its container's if that has fewer."""
    found = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for path in limits:
        # "max", or a number far beyond any machine, is no limit.
        with suppress(OSError, ValueError), open(path, encoding="ascii") as file:
            found.append(int(file.read()))
    return min(found)


def resident_bytes() -> tuple[int, int]:
    """Resident memory now and at its most, bytes; where the system tells only the latter, twice that."""
    found: dict[bytes, int] = {}
    # Asked first, because getrusage's maximum may be that of the process that started this one.
    with suppress(OSError), open(_STATUS, "rb") as file:
        for line in file:
            key, _, value = line.partition(b":")
            if key in (b"VmHWM", b"VmRSS"):
                found[key] = int(value.split()[0]) * 1024
    if len(found) == 2:
        return found[b"VmRSS"], max(found.values())
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return most, most
