from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from nsqadmin.cluster.model import Node, Problem
from nsqadmin.history.series import Key, Metric, Series
from nsqadmin.history.snapshot import (
    ChannelNow,
    Figures,
    LookupdNow,
    NodeNow,
    Rates,
    Snapshot,
    TopicNow,
)
from nsqadmin.pages.attention import Severity, findings, growth

NOW = 1_800_000_000.0


def snapshot(
    *topics: TopicNow, nodes: Sequence[NodeNow] = (), lookupds: Sequence[LookupdNow] = ()
) -> Snapshot:
    by_name = {topic.topic_name: topic for topic in topics}
    return Snapshot(NOW, 0.1, by_name, list(nodes), list(lookupds), Figures(), [])


def past(*values: float | None) -> Series:
    return Series(Metric.DEPTH, NOW, 30.0, values)


def still(key: Key, metric: Metric, seconds: float, points: int) -> Series:
    return past(*[100.0] * 20)


def rising(key: Key, metric: Metric, seconds: float, points: int) -> Series:
    return past(*[100.0 + 300.0 * i for i in range(20)])


def channel(**figures: object) -> ChannelNow:
    return ChannelNow(topic_name="t", channel_name="c", nodes=2, **figures)  # type: ignore[arg-type]


def topic(*channels: ChannelNow, **figures: object) -> TopicNow:
    return TopicNow(topic_name="t", nodes=2, channels=channels, **figures)  # type: ignore[arg-type]


def node(**more: object) -> NodeNow:
    known = Node("n", "host", 4150, 4151, "1.3.0", remote_addresses=["a/x", "b/x"])
    return NodeNow(node=known, health="OK", **more)  # type: ignore[arg-type]


def test_where_all_is_well_there_is_nothing_to_look_at() -> None:
    busy = channel(depth=500, client_count=3, rates=Rates(10, 10, 0, 0))
    calm = snapshot(topic(busy), nodes=[node()], lookupds=[LookupdNow("a"), LookupdNow("b")])
    assert findings(calm, still) == []


@pytest.mark.parametrize(
    ("one", "severity", "text"),
    [
        (
            channel(depth=1200, client_count=2),
            Severity.WARNING,
            "falls behind: 1,200 messages waiting, 10/s more, with 2 consumers",
        ),
        (channel(depth=1200), Severity.WARNING, "has no consumer; 1,200 messages waiting, 10/s more"),
        (channel(depth=1), Severity.WARNING, "has no consumer; 1 message waiting"),
        (
            channel(paused_nodes=1, client_count=2, depth=5),
            Severity.NOTE,
            "is paused on 1 of 2 nodes; 5 messages waiting",
        ),
        (
            channel(paused_nodes=2, client_count=2, depth=500),
            Severity.WARNING,
            "is paused; 500 messages waiting, 10/s more",
        ),
        (
            channel(client_count=1, rates=Rates(10, 6, 2, 0)),
            Severity.WARNING,
            "has 25% of its messages requeued, 2/s",
        ),
        (
            channel(client_count=1, rates=Rates(10, 9, 0, 1)),
            Severity.WARNING,
            "has 10% of its messages time out, 1/s",
        ),
    ],
)
def test_a_channel_in_trouble_is_told_in_a_sentence_with_numbers(
    one: ChannelNow, severity: Severity, text: str
) -> None:
    (found,) = findings(snapshot(topic(one)), rising)
    assert (found.severity, found.text, found.path) == (severity, text, ("topics", "t", "c"))


def test_a_few_requeues_among_many_messages_are_no_news() -> None:
    one = channel(client_count=1, rates=Rates(1000, 990, 10, 1))
    assert findings(snapshot(topic(one)), still) == []


def test_topics_are_told_when_they_are_paused_or_nobody_will_ever_get_their_messages() -> None:
    (paused,) = findings(snapshot(topic(channel(), depth=3, paused_nodes=2)), still)
    (lonely,) = findings(snapshot(topic(depth=3)), still)
    assert paused.text == "is paused; 3 messages waiting in the topic"
    assert lonely.text == "has no channel; 3 messages waiting for the first one"


def test_daemons_that_fail_come_first_and_say_since_when() -> None:
    problem = Problem("nsqd", "n:4151", "timed out")
    found = findings(
        snapshot(
            topic(channel(depth=9)),
            nodes=[
                node(problem=problem, silent_since=NOW - 65),
                replace(node(gone=True, silent_since=NOW - 10), node=Node("m", "h", 1, 2, "1.3.0")),
            ],
            lookupds=[LookupdNow("a", problem=problem, silent_since=NOW - 3), LookupdNow("b")],
        ),
        still,
    )
    assert [(one.severity, one.text.partition(":")[0]) for one in found] == [
        (Severity.FAILURE, "is a nsqlookupd that has not answered for 3 s"),
        (Severity.FAILURE, "is a nsqd that has not answered for 1 min 5 s"),
        (Severity.FAILURE, "is gone"),
        (Severity.WARNING, "has no consumer; 9 messages waiting"),
    ]


def test_a_node_that_some_nsqlookupds_do_not_know_is_half_registered() -> None:
    half = node()
    half.node.remote_addresses = ["a/x"]
    (found,) = findings(snapshot(nodes=[half], lookupds=[LookupdNow("a"), LookupdNow("b")]), still)
    assert "registered with 1 of 2 nsqlookupds" in found.text


def test_an_unwell_node_and_old_versions_are_told() -> None:
    sick, old = node(), node()
    sick.health = "NOK - disk full"
    old.node = replace(old.node, out_of_date=True, version="1.2.0", broadcast_address="old")
    texts = [one.text for one in findings(snapshot(nodes=[sick, old]), still)]
    assert texts == ["says that it is not well: NOK - disk full", "behind the newest version, 1.3.0: 1.2.0"]


@pytest.mark.parametrize(
    ("values", "grows"),
    [
        ([0.0, 100, 200, 300, 400, 500], pytest.approx(100 / 30)),
        ([500.0, 400, 300, 200, 100, 0], 0),
        ([0.0, 1000, 900, 800, 700, 600], 0),
        ([None, None, 0.0, 100], 0),
        ([0.0, 1, 2, 3, 4, 5], 0),
        ([], 0),
    ],
)
def test_a_queue_grows_when_it_did_over_the_window_and_still_does(
    values: list[float | None], grows: float
) -> None:
    assert growth(past(*values)) == grows
