"""Memory that this process has of the machine."""

from __future__ import annotations

import resource
import sys
from contextlib import suppress

_STATUS = "/proc/self/status"


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
