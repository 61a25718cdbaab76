"""What statsd is told: names, lines, increases, packets."""

from __future__ import annotations

from itertools import pairwise

import hypothesis.strategies as st
import pytest
from hypothesis import given

from nsqd.statistics.statsd_report import Packets, Report, latency_names, resolved_prefix
from nsqd.topic import Topic
from tests.support.nsqd import Node

pytestmark = pytest.mark.usefixtures("quick_disk")


@pytest.mark.parametrize(
    ("template", "host", "prefix"),
    [
        ("nsq.%s", "127.0.0.1", "nsq.127_0_0_1_4151."),
        ("nsq.%s.", "a.example", "nsq.a_example_4151."),
        ("%s", "::1", "[__1]_4151."),
        ("%s.%s", "h", "h_4151.h_4151."),
        ("plain", "h", "plain."),
        ("100%", "h", "100%."),
        ("", "h", ""),
    ],
)
def test_the_prefix_names_the_node_and_ends_in_a_dot(template: str, host: str, prefix: str) -> None:
    assert resolved_prefix(template, host, 4151) == prefix


@pytest.mark.parametrize(
    ("quantiles", "names"),
    [
        ([], []),
        ([1.0, 0.99, 0.95, 0.5], ["100", "99", "95", "50"]),
        ([0.29, 0.07], ["29", "7"]),
        ([0.995], ["100"]),
        ([0.985, 0.975], ["98_5", "97_5"]),
        ([1.0, 0.995], ["100", "99_5"]),
        ([1.0, 0.9999, 0.999], ["100", "99_99", "99_9"]),
        ([0.99, 0.9875], ["99", "98_75"]),
        ([0.001, 1e-9], ["0_1", "1e-07"]),
    ],
)
def test_quantiles_have_the_originals_names_unless_two_would_share_one(
    quantiles: list[float], names: list[str]
) -> None:
    assert latency_names(quantiles) == names


@given(st.lists(st.text("abc", max_size=30).map(lambda text: text + "\n"), max_size=30), st.integers(0, 60))
def test_packets_hold_whole_lines_and_no_more_than_fit(lines: list[str], size: int) -> None:
    packing = Packets(size)
    packing.add(lines[: len(lines) // 2])
    packing.add(lines[len(lines) // 2 :])
    packets = packing.finish()
    assert b"".join(packets) == "".join(lines).encode()
    for packet in packets:
        assert packet.endswith(b"\n")
        assert len(packet) <= size or packet.count(b"\n") == 1
    for one, two in pairwise(packets):
        assert len(one) + two.index(b"\n") + 1 > size, "the next line would have fitted"


def told(report: Report, *topics: Topic) -> list[str]:
    report.begin()
    return [line for topic in topics for line in report.topic(topic)]


async def test_lines_are_the_originals_in_its_order(node: Node) -> None:
    consumer = await node.subscribe("t", "c", rdy=2)
    await consumer.mpub("t", b"1", b"22", b"333")
    await consumer.messages(2)
    await consumer.settled()
    node.broker.channel(node.topic("t"), "b")
    report = Report("p.", [], exclude_ephemeral=False)
    assert "".join(told(report, node.topic("t"))) == (
        "p.topic.t.message_count:3|c\n"
        "p.topic.t.message_bytes:6|c\n"
        "p.topic.t.depth:0|g\n"
        "p.topic.t.backend_depth:0|g\n"
        "p.topic.t.channel.b.message_count:0|c\n"
        "p.topic.t.channel.b.depth:0|g\n"
        "p.topic.t.channel.b.backend_depth:0|g\n"
        "p.topic.t.channel.b.in_flight_count:0|g\n"
        "p.topic.t.channel.b.deferred_count:0|g\n"
        "p.topic.t.channel.b.requeue_count:0|c\n"
        "p.topic.t.channel.b.timeout_count:0|c\n"
        "p.topic.t.channel.b.clients:0|g\n"
        "p.topic.t.channel.c.message_count:3|c\n"
        "p.topic.t.channel.c.depth:1|g\n"
        "p.topic.t.channel.c.backend_depth:0|g\n"
        "p.topic.t.channel.c.in_flight_count:2|g\n"
        "p.topic.t.channel.c.deferred_count:0|g\n"
        "p.topic.t.channel.c.requeue_count:0|c\n"
        "p.topic.t.channel.c.timeout_count:0|c\n"
        "p.topic.t.channel.c.clients:1|g\n"
    )


async def test_counters_are_told_as_increases_and_gauges_as_they_are(node: Node) -> None:
    report = Report("", [], exclude_ephemeral=False)
    await node.publish("t", b"12345")
    assert told(report, node.topic("t"))[:3] == [
        "topic.t.message_count:1|c\n",
        "topic.t.message_bytes:5|c\n",
        "topic.t.depth:1|g\n",
    ]
    await node.publish("t", b"123", b"1")
    assert told(report, node.topic("t"))[:3] == [
        "topic.t.message_count:2|c\n",
        "topic.t.message_bytes:4|c\n",
        "topic.t.depth:3|g\n",
    ]
    assert told(report, node.topic("t"))[0] == "topic.t.message_count:0|c\n"


async def test_a_topic_or_channel_that_was_made_again_counts_from_zero(node: Node) -> None:
    report = Report("", [], exclude_ephemeral=False)
    for count in (5, 2):
        channel = node.broker.channel(node.broker.topic(b"t"), "c")
        await node.publish("t", *[b"x"] * count)
        lines = told(report, node.topic("t"))
        assert f"topic.t.message_count:{count}|c\n" in lines
        assert f"topic.t.channel.c.message_count:{count}|c\n" in lines
        node.broker.delete_topic(node.topic("t"))
        assert channel.exiting
    told(report)
    told(report)
    assert report._last == {}, "what is gone is forgotten"


async def test_latencies_follow_their_topic_and_their_channel(node: Node) -> None:
    node.broker.options.e2e_processing_latency_percentiles = [1.0, 0.995, 0.5]
    node.broker.topic(b"lone")
    node.broker.channel(node.broker.topic(b"t"), "c")
    report = Report("", [1.0, 0.995, 0.5], exclude_ephemeral=False)
    lines = told(report, node.topic("lone"), node.topic("t"))
    assert [line for line in lines if "e2e" in line] == [
        f"topic.t{channel}.e2e_processing_latency_{name}:0|g\n"
        for channel in ("", ".channel.c")
        for name in ("100", "99_5", "50")
    ]
    assert "backend_depth" in lines[lines.index("topic.t.e2e_processing_latency_100:0|g\n") - 1]
    assert lines[-1] == "topic.t.channel.c.e2e_processing_latency_50:0|g\n"


async def test_ephemeral_ones_are_told_of_with_their_mark_or_left_out(node: Node) -> None:
    node.broker.channel(node.broker.topic(b"t"), "c#ephemeral")
    node.broker.channel(node.broker.topic(b"e#ephemeral"), "c")
    topics = [node.topic("e#ephemeral"), node.topic("t")]
    lines = told(Report("", [], exclude_ephemeral=False), *topics)
    assert "topic.e#ephemeral.channel.c.depth:0|g\n" in lines
    assert "topic.t.channel.c#ephemeral.depth:0|g\n" in lines
    left = told(Report("", [], exclude_ephemeral=True), *topics)
    assert left == [line for line in lines if "#ephemeral" not in line]
    assert len(left) == 4


def test_memory_has_the_originals_keys_and_its_collections_are_increases() -> None:
    figures = {"heap_objects": 5, "next_gc_bytes": 7, "gc_total_runs": 10}
    report = Report("p.", [], exclude_ephemeral=False)
    assert list(report.memory(figures)) == [
        "p.mem.heap_objects:5|g\n",
        "p.mem.next_gc_bytes:7|g\n",
        "p.mem.gc_runs:10|c\n",
    ]
    assert list(report.memory(figures | {"gc_total_runs": 13}))[-1] == "p.mem.gc_runs:3|c\n"
