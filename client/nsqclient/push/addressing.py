"""Whom a message is for. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping

MOST_USERS = 1000
"""Of one message; it is unaddressed when it names more."""


def users_in_record(body: bytes, path: str) -> tuple[str, ...]:
    """The users that a JSON message names at ``path`` (``to``, ``meta.user``); none when it does not."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return ()
    for name in path.split("."):
        if not isinstance(value, dict):
            return ()
        value = value.get(name)
    named = value if isinstance(value, list) else [value]
    if len(named) > MOST_USERS:
        return ()
    return tuple(dict.fromkeys(user for item in named if (user := _user(item))))


def users_in_headers(headers: Mapping[str, str], name: str) -> tuple[str, ...]:
    """The user in a header."""
    user = headers.get(name, "")
    return (user,) if user else ()


def _user(value: object) -> str:
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else ""
