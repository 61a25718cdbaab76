"""The counter's JSON, its size and what nodes may put into it."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsqadmin.api.counter import part_of
from nsqadmin.cluster.answers import BadAnswer
from nsqcore.golang import go_json
from tests.nsqadmin.world import World
from tests.support.fake_cluster import channel, topic

JSON: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(st.sampled_from(["topics", "channels", "topic_name", "message_count"]), inner)
    ),
    max_leaves=20,
)


def test_a_part_is_written_as_go_writes_it() -> None:
    name = '<a>&\u2028\b"\\é'
    answer = json.dumps({"topics": [topic(name, channel("c", message_count=3), channel(name))]}).encode()
    expected = {
        f"{name}:{each}:n:1": {
            "node": "n:1",
            "topic_name": name,
            "channel_name": each,
            "message_count": count,
        }
        for each, count in (("c", 3), (name, 0))
    }
    assert b"{" + part_of("n:1", answer) + b"}" == go_json(expected)


@pytest.mark.parametrize(
    "answer", [b"", b"<html>", b"[]", b'{"topics":3}', b"[" * 100_000, b'{"topics":[3]}']
)
def test_garbage_is_refused(answer: bytes) -> None:
    with pytest.raises(BadAnswer):
        part_of("n:1", answer)


@given(st.binary() | JSON.map(lambda value: json.dumps(value).encode()))
def test_any_answer_is_a_part_or_refused(answer: bytes) -> None:
    try:
        part = part_of("n:1", answer)
    except BadAnswer:
        return
    assert isinstance(json.loads(b"{" + part + b"}"), dict)


def test_a_large_node_takes_a_few_milliseconds() -> None:
    topics = [topic(f"topic-{i}", channel("one"), channel("two")) for i in range(500)]
    answer = json.dumps({"topics": topics}).encode()
    best = min(_seconds(answer) for _ in range(5))
    assert best < 0.05, "200 of these follow each other, and nobody may wait for long meanwhile"


def _seconds(answer: bytes) -> float:
    began = time.perf_counter()
    part_of("n:1", answer)
    return time.perf_counter() - began


async def test_one_bad_node_of_two_is_a_warning(world: World) -> None:
    good, bad = await world.nsqd(topic("t", channel("c", message_count=2))), await world.nsqd(topic("t"))
    admin = await world.admin(await world.lookupd(good, bad))
    bad.lies["/stats"] = b'{"topics":{}}'
    answer = (await admin.get("/api/counter")).json
    assert list(answer["stats"]) == [f"t:c:{good.name}"]
    assert answer["message"].startswith(f"WARNING: nsqd {bad.address}: its answer to /stats makes no sense: ")
