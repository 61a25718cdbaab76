"""Rules for topic and channel names."""

from __future__ import annotations

import re

EPHEMERAL = "#ephemeral"
"""The end of a name whose topic or channel lives in memory alone and goes with its last user."""

MAX_NAME_LENGTH = 64
_NAME = re.compile(r"[.a-zA-Z0-9_-]+(#ephemeral)?", re.ASCII)


def valid_name(name: str) -> bool:
    """Whether ``name`` may name a topic or a channel: 1 to 64 bytes, the ``#ephemeral`` end included."""
    return len(name) <= MAX_NAME_LENGTH and _NAME.fullmatch(name) is not None


def is_ephemeral(name: str) -> bool:
    """Whether what is called so is never stored and goes with its last user."""
    return name.endswith(EPHEMERAL)
