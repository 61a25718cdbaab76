"""What somebody may have meant who asked for a topic, channel or node that is not there. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches

from nsqadmin.history.snapshot import Snapshot

MOST = 5
ALIKE = 0.6
"""As difflib measures: 1 is the same."""
LOOKED_AT = 5000
"""Names compared: measuring is slow, and an error page must not be."""

Path = tuple[str, ...]


def suggestions(snapshot: Snapshot | None, path: Mapping[str, str]) -> list[tuple[str, Path]]:
    """Names like those in an address's ``topic``, ``channel`` and ``node``, and the paths of their pages."""
    if snapshot is None:
        return []
    if node := path.get("node"):
        names = (now.node.name for now in snapshot.nodes if not now.gone)
        return [(name, ("nodes", name)) for name in close(node, names)]
    topic, channel = path.get("topic", ""), path.get("channel", "")
    known = snapshot.topics.get(topic)
    if channel and known is not None:
        names = (one.channel_name for one in known.channels)
        return [(f"{topic}/{name}", ("topics", topic, name)) for name in close(channel, names)]
    return [(name, ("topics", name)) for name in close(topic, snapshot.topics)] if topic else []


def close(wanted: str, names: Iterable[str]) -> list[str]:
    """The names most like ``wanted``, whatever their letters' case; the most alike first."""
    folded: dict[str, str] = {}
    for name in names:
        folded.setdefault(name.lower(), name)
        if len(folded) >= LOOKED_AT:
            break
    return [folded[found] for found in get_close_matches(wanted[:100].lower(), folded, MOST, ALIKE)]
