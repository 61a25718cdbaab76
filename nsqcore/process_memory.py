"""Memory: what this process may have of the machine, and what it has."""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Iterable
from contextlib import suppress

_STATUS = "/proc/self/status"
_GROUPS = "/sys/fs/cgroup"
_MEMBERSHIP = "/proc/self/cgroup"


def limit_files(membership: str) -> list[str]:
    """Where limits of memory stand that hold for a process, by the text of its ``/proc/PID/cgroup``.

    A container finds its own at the top, in one of two places by the version of Linux's control groups; a unit of
    systemd has it in its group, and what holds for a group holds for those below it.
    """
    files = [f"{_GROUPS}/memory.max", f"{_GROUPS}/memory/memory.limit_in_bytes"]
    for line in membership.splitlines():
        kind, _, group = line.partition("::")
        while kind == "0" and group.strip("/"):
            files.append(f"{_GROUPS}/{group.strip('/')}/memory.max")
            group = group.rpartition("/")[0]
    return files


def usable_bytes(limits: Iterable[str] | None = None) -> int:
    """Bytes of memory that this process may use: the machine's, or its container's or unit's if that has fewer."""
    found = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    if limits is None:
        membership = ""
        with suppress(OSError, ValueError), open(_MEMBERSHIP, encoding="utf-8") as file:
            membership = file.read()
        limits = limit_files(membership)
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
