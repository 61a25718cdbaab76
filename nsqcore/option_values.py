"""Options as ``/config/KEY`` of the daemons tells them, and the values that may be set there."""

from __future__ import annotations

import json

from nsqcore.errors import HttpError
from nsqcore.golang import go_json
from nsqcore.logs import LogLevel


class BadValue(HttpError):
    """The option can't be set to that."""

    def __init__(self) -> None:
        super().__init__(400, "INVALID_VALUE")


class BadOption(HttpError):
    """There is no such option, or it can't be set."""

    def __init__(self) -> None:
        super().__init__(400, "INVALID_OPTION")


def told(value: object) -> str | bytes:
    """The body of an answer: text as it is, all else as JSON; durations are nanoseconds, a log level is a number."""
    if isinstance(value, LogLevel):
        value = value.number
    if isinstance(value, str):
        return str(value)
    if isinstance(value, list):
        value = [int(n) if isinstance(n, float) and n.is_integer() else n for n in value]
    elif isinstance(value, int) and not isinstance(value, bool):
        value = int(value)
    return go_json(value)


def read_level(body: bytes) -> LogLevel:
    """A level by its name alone; raises HttpError."""
    try:
        return LogLevel.parse(body.decode("utf-8", "surrogateescape"))
    except ValueError:
        raise BadValue from None


def read_texts(body: bytes) -> list[str] | None:
    """A JSON list of texts, in which Go takes null for an empty one; null itself. Raises HttpError."""
    try:
        value = json.loads(body.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        raise BadValue from None
    if value is None:
        return None
    if not isinstance(value, list) or not all(item is None or isinstance(item, str) for item in value):
        raise BadValue
    return [item or "" for item in value]
