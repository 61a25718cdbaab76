"""Any JSON at all is read as an answer of a daemon, or refused with the one error that is promised."""

from __future__ import annotations

import contextlib
from dataclasses import asdict

from hypothesis import given
from hypothesis import strategies as st

from nsqclient.http.answers import Node, Stats
from nsqclient.http.reading import Unreadable, read, read_list

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
names = st.sampled_from(
    ["version", "health", "start_time", "topics", "channels", "topic_name", "memory", "clients"]
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=8),
    max_leaves=20,
)


@given(values)
def test_any_json_is_read_or_refused(value: object) -> None:
    for kind in (Stats, Node):
        with contextlib.suppress(Unreadable):
            read(kind, value)
        with contextlib.suppress(Unreadable):
            read_list(kind, value, "list")


def plain(value: object) -> object:
    """As ``json.loads`` would give it: lists, no tuples."""
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, tuple) else value


@given(st.builds(Node, topics=st.lists(st.text()).map(tuple), tombstones=st.lists(st.booleans()).map(tuple)))
def test_what_was_written_is_read_again(node: Node) -> None:
    assert read(Node, plain(asdict(node))) == node
