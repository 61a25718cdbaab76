"""Lengths of time: seconds, as numbers or ``timedelta``; milliseconds are the wire's unit."""

from __future__ import annotations

import math
from datetime import timedelta

from nsqclient.errors import ConfigError

Seconds = float | timedelta
"""A length of time: seconds, or a ``timedelta``."""


def to_seconds(value: Seconds) -> float:
    """The number of seconds in ``value``; raises ConfigError for what is not finite."""
    number = value.total_seconds() if isinstance(value, timedelta) else float(value)
    if not math.isfinite(number):
        raise ConfigError(f"a duration is a finite number of seconds, not {value}")
    return number


def to_ms(value: Seconds) -> int:
    """Whole milliseconds, the wire's unit, rounded to the nearest."""
    return round(to_seconds(value) * 1000)


def within(name: str, value: Seconds, low: float, high: float = math.inf) -> float:
    """The number of seconds in ``value``, or a plain number; raises ConfigError unless it is in the bounds."""
    number = to_seconds(value)
    if not low <= number <= high:
        bounds = f"at least {low:g}" if high == math.inf else f"from {low:g} to {high:g}"
        raise ConfigError(f"{name} is {number:g}, want {bounds}")
    return number
