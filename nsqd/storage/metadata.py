"""``nsqd.dat``: which topics and channels exist, and which of them are paused (nsqd reference, 4.2)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TypedDict, TypeVar

from nsqcore.errors import StartError
from nsqcore.golang import go_json
from nsqcore.version import NSQ_VERSION
from nsqd.storage.atomic import write_atomically

FILE_NAME = "nsqd.dat"
LOADING = "load metadata"
V = TypeVar("V", str, bool)


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

    Names are not judged here. Keys may have any letter case, and what is absent or null is empty, as Go
    reads it.
    """
    path = folder / FILE_NAME
    try:
        return [_topic(_object(entry)) for entry in _list(_object(json.loads(path.read_bytes())), "topics")]
    except FileNotFoundError:
        return []
    except OSError as e:
        raise StartError(f"failed to read metadata from {path} - {e}", LOADING) from None
    except (ValueError, RecursionError) as e:
        raise StartError(f"failed to parse metadata in {path} - {e}", LOADING) from None


def _topic(entry: dict[str, object]) -> TopicMeta:
    channels = [_object(channel) for channel in _list(entry, "channels")]
    return {
        "name": _value(entry, "name", ""),
        "paused": _value(entry, "paused", False),
        "channels": [{"name": _value(c, "name", ""), "paused": _value(c, "paused", False)} for c in channels],
    }


def _object(value: object) -> dict[str, object]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ValueError(f"{value!r:.60} is not an object")
    return {key.lower(): item for key, item in value.items()}


def _list(entry: dict[str, object], key: str) -> list[object]:
    value = entry.get(key)
    if value is not None and not isinstance(value, list):
        raise ValueError(f"{key} is not a list")
    return value or []


def _value(entry: dict[str, object], key: str, default: V) -> V:
    value = entry.get(key)
    if value is None:
        return default
    if not isinstance(value, type(default)):
        raise ValueError(f"{key} {value!r:.60} is not a {type(default).__name__}")
    return value
