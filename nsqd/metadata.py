"""``nsqd.dat``: which topics and channels exist, and which of them are paused (nsqd reference, 4.2)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TypedDict

from nsqcore.errors import StartError
from nsqcore.golang import go_json
from nsqcore.version import NSQ_VERSION
from nsqd.atomic import write_atomically

FILE_NAME = "nsqd.dat"


class ChannelMeta(TypedDict):
    """A channel in ``nsqd.dat``."""

    name: str
    paused: bool


class TopicMeta(TypedDict):
    """A topic in ``nsqd.dat``."""

    name: str
    paused: bool
    channels: list[ChannelMeta] | None
    """None for none, as Go writes an empty list that was never made."""


def store(folder: Path, topics: list[TopicMeta]) -> None:
    """Replaces the file. Blocks for an fsync; raises OSError."""
    write_atomically(folder / FILE_NAME, go_json({"topics": topics or None, "version": NSQ_VERSION}))


def load(folder: Path) -> list[TopicMeta]:
    """What the last life stored; empty when there is no file. Raises StartError for a file that can't be read.

    Names are not judged here.
    """
    path = folder / FILE_NAME
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return []
    except OSError as e:
        raise StartError(f"failed to read metadata from {path} - {e}") from None
    try:
        return [_topic(entry) for entry in json.loads(text)["topics"] or []]
    except (ValueError, KeyError, TypeError, AttributeError) as e:
        raise StartError(f"failed to parse metadata in {path} - {type(e).__name__}: {e}") from None


def _topic(entry: dict[str, object]) -> TopicMeta:
    channels = entry.get("channels") or []
    if not isinstance(channels, list):
        raise TypeError(f"channels of topic {entry.get('name')!r} is not a list")
    return {
        "name": str(entry["name"]),
        "paused": entry.get("paused") is True,
        "channels": [{"name": str(c["name"]), "paused": c.get("paused") is True} for c in channels],
    }
