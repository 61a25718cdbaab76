"""Go's duration texts, such as ``1m30s``: nanoseconds in, nanoseconds out."""

from __future__ import annotations

import re
from typing import Self

NS_PER_MS = 1_000_000
NS_PER_S = 1_000_000_000
_UNITS = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "μs": 1_000,
    "ms": NS_PER_MS,
    "s": NS_PER_S,
    "m": 60 * NS_PER_S,
    "h": 3600 * NS_PER_S,
}
_PART = re.compile(r"(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)", re.ASCII)
_LONGEST = (1 << 63) - 1


class Duration(int):
    """A length of time: an integer of nanoseconds that prints as Go prints it."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads ``300ms``, ``1.5h``, ``-1m30s`` or ``0``; raises ValueError for anything else."""
        sign, rest = (-1, text[1:]) if text[:1] == "-" else (1, text.removeprefix("+"))
        if rest == "0":
            return cls(0)
        total, at = 0, 0
        while at < len(rest):
            part = _PART.match(rest, at)
            if part is None:
                raise ValueError(
                    f"invalid duration {text!r} (want a number and a unit, such as 250ms or 1m30s)"
                )
            whole, _, fraction = part[1].partition(".")
            unit = _UNITS[part[2]]
            total += int(whole or 0) * unit
            total += int(fraction or 0) * unit // 10 ** len(fraction)
            at = part.end()
        if not rest or total > _LONGEST:
            raise ValueError(f"invalid duration {text!r} (want a number and a unit, such as 250ms or 1m30s)")
        return cls(sign * total)

    @classmethod
    def of_ms(cls, ms: int) -> Self:
        """The duration of that many milliseconds."""
        return cls(ms * NS_PER_MS)

    @property
    def ms(self) -> int:
        """Whole milliseconds."""
        return int(self) // NS_PER_MS

    @property
    def seconds(self) -> float:
        """Seconds, as asyncio counts time."""
        return int(self) / NS_PER_S

    def __str__(self) -> str:
        return go_duration(int(self))


def go_duration(ns: int) -> str:
    """``0s``, ``271ns``, ``1.754µs``, ``108.55ms``, ``2.5s``, ``1m0s``, ``1h0m5s``."""
    if ns == 0:
        return "0s"
    sign, ns = ("-", -ns) if ns < 0 else ("", ns)
    for unit, size in (("ns", 1), ("µs", 1_000), ("ms", NS_PER_MS)):
        if ns < size * 1000:
            return sign + _decimal(ns, size) + unit
    minutes, rest = divmod(ns, 60 * NS_PER_S)
    hours, minutes = divmod(minutes, 60)
    text = _decimal(rest, NS_PER_S) + "s"
    if hours:
        return f"{sign}{hours}h{minutes}m{text}"
    return f"{sign}{minutes}m{text}" if minutes else sign + text


def _decimal(value: int, unit: int) -> str:
    whole, rest = divmod(value, unit)
    if not rest:
        return str(whole)
    return f"{whole}.{str(unit + rest)[1:]}".rstrip("0")
