"""What compression a connection asks for, as text: ``snappy``, ``deflate:6``, ``prefer:snappy``."""

from __future__ import annotations

from typing import Literal, NamedTuple

from nsqclient.errors import ConfigError

DEFAULT_LEVEL = 6


class Compression(NamedTuple):
    """What to ask nsqd for."""

    kind: Literal["deflate", "snappy"]
    level: int
    """Of deflate: 1 (fast) to 9 (small)."""
    required: bool
    """Whether a nsqd that refuses it won't do."""


def parse_compression(text: str) -> Compression:
    """Reads ``snappy``, ``deflate`` or ``deflate:<level>``, each with ``prefer:`` before it; raises ConfigError."""
    wanted = text.removeprefix("prefer:")
    kind, colon, level = wanted.partition(":")
    if wanted == "snappy":
        return Compression("snappy", 0, wanted == text)
    if kind == "deflate" and not colon:
        return Compression("deflate", DEFAULT_LEVEL, wanted == text)
    if kind == "deflate" and level in tuple("123456789"):
        return Compression("deflate", int(level), wanted == text)
    raise ConfigError(
        f"compress is {text!r}, want 'snappy', 'deflate' or 'deflate:1' to 'deflate:9', "
        "with 'prefer:' before it if a nsqd may refuse"
    )
