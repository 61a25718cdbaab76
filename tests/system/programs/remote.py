"""What the programs around foreign clients share: settings in argv, events out on stdout, a JSON line each.

Commands come in on stdin as JSON arrays, and are obeyed one after the other::

    ["pub", topic, body]  ["mpub", topic, [body, ...]]  ["dpub", topic, ms, body]
    ["subscribe", topic, channel, max_in_flight]  ["max_in_flight", count]
    ["finish", id]  ["requeue", id, ms]  ["touch", id]
    ["close"]

Every publishing command is answered with ``published`` or ``refused``, ``close`` with ``closed``; each
message that arrives is a ``message``. Bodies are text of which each character is a byte (latin-1).
"""

from __future__ import annotations

import json
import sys
from typing import Any, TypedDict, cast


class Settings(TypedDict):
    """What a program is told when it starts; features that are not asked for are left out."""

    nsqd: list[str]
    lookupd: list[str]
    features: dict[str, Any]
    """``msg_timeout`` and ``heartbeat_interval`` (both ms), ``sample_rate``, ``deflate``, ``snappy``,
    ``secret``, ``tls_ca`` (asks for TLS, with this certificate authority), ``tls_cert``, ``tls_key``."""
    finish: bool
    """Messages are finished as they come."""


def settings() -> Settings:
    """The settings of this program."""
    return cast(Settings, json.loads(sys.argv[1]))


def say(event: str, **details: object) -> None:
    """Tells the test what happened."""
    sys.stdout.write(json.dumps({"event": event, **details}) + "\n")
    sys.stdout.flush()


def say_message(message_id: str | bytes, body: bytes, attempts: int) -> None:
    """Tells the test of a message."""
    text = message_id.decode() if isinstance(message_id, bytes) else message_id
    say("message", id=text, body=body.decode("latin-1"), attempts=attempts)


def say_outcome(error: object) -> None:
    """Tells the test what became of something that was published; None when all is well."""
    if error is None:
        say("published")
    else:
        say("refused", error=str(error))


def pick(features: dict[str, Any], *names: str) -> dict[str, Any]:
    """Those of these features that are asked for."""
    return {name: features[name] for name in names if name in features}
