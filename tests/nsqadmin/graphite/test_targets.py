"""Keys and expressions as graphite takes them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsqadmin.graphite.targets import ALL, Graph, Naming, clean, of_channel, of_counter, of_node, of_topic

PLAIN = Naming()
NODE = "127.0.0.1:4151"


def by_title(graphs: list[Graph]) -> dict[str, tuple[str, ...]]:
    return {graph.title: graph.targets for graph in graphs}


@pytest.mark.parametrize(
    ("name", "cleaned"),
    [
        ("orders", "orders"),
        ("a.b_c-d9", "a.b_c-d9"),
        ("t#ephemeral", "tephemeral"),
        ("a b/c", "a_b-c"),
        ("é(x)", "x"),
    ],
)
def test_names_are_cleaned_as_statsd_does(name: str, cleaned: str) -> None:
    assert clean(name) == cleaned


def test_the_graphs_of_a_topic_are_sums_over_nodes() -> None:
    assert by_title(of_topic(PLAIN, "t#ephemeral")) == {
        "Depth": ("sumSeries(stats.gauges.nsq.*.topic.tephemeral.depth)",),
        "Messages per second": (
            "scale(sumSeries(stats.counters.nsq.*.topic.tephemeral.message_count.count),0.016666667)",
        ),
    }


def test_the_graphs_of_a_topic_on_a_node_have_its_address_in_the_prefix() -> None:
    graphs = by_title(of_topic(PLAIN, "t", NODE))
    assert graphs["Depth"] == ("sumSeries(stats.gauges.nsq.127_0_0_1_4151.topic.t.depth)",)


def test_the_graphs_of_a_channel_are_gauges_and_counters() -> None:
    graphs = by_title(of_channel(PLAIN, "t", "c", quantiles=[0.99]))
    key = "nsq.*.topic.t.channel.c."
    for title, name in [
        ("Depth", "depth"),
        ("In flight", "in_flight_count"),
        ("Deferred", "deferred_count"),
        ("Clients", "clients"),
    ]:
        assert graphs[title] == (f"sumSeries(stats.gauges.{key}{name})",)
    for title, name in [
        ("Messages per second", "message_count"),
        ("Requeued per second", "requeue_count"),
        ("Timed out per second", "timeout_count"),
    ]:
        assert graphs[title] == (f"scale(sumSeries(stats.counters.{key}{name}.count),0.016666667)",)
    assert graphs["Latency, ms"] == (
        "scale(averageSeries(stats.gauges.nsq.*.topic.t.channel.c.e2e_processing_latency_99),0.000001)",
    )


def test_latency_is_averaged_over_nodes_outside_of_the_format_and_has_a_topic() -> None:
    assert of_topic(PLAIN, "t", ALL, [0.999, 0.5])[-1].targets == (
        "scale(averageSeries(stats.gauges.nsq.*.topic.t.e2e_processing_latency_100),0.000001)",
        "scale(averageSeries(stats.gauges.nsq.*.topic.t.e2e_processing_latency_50),0.000001)",
    )
    assert of_topic(PLAIN, "t", NODE, [0.95])[-1].targets == (
        "scale(stats.gauges.nsq.127_0_0_1_4151.topic.t.e2e_processing_latency_95,0.000001)",
    )


def test_the_graphs_of_a_node_are_of_its_memory() -> None:
    targets = [target for graph in of_node(PLAIN, NODE) for target in graph.targets]
    assert targets == [
        "stats.gauges.nsq.127_0_0_1_4151.mem.*_bytes",
        "stats.gauges.nsq.127_0_0_1_4151.mem.heap_objects",
        "stats.gauges.nsq.127_0_0_1_4151.mem.gc_pause_*",
        "scale(movingAverage(stats.counters.nsq.127_0_0_1_4151.mem.gc_runs.count,45),0.016666667)",
    ]


def test_the_counter_is_the_sum_over_all_channels() -> None:
    (graph,) = of_counter(PLAIN)
    assert graph.targets == (
        "scale(sumSeries(stats.counters.nsq.*.topic.*.channel.*.message_count.count),0.016666667)",
    )
    assert graph.colours == "green"


@pytest.mark.parametrize(
    ("naming", "depth"),
    [
        (Naming(gauge_format="%s"), "nsq.*.topic.t.depth"),
        (Naming(gauge_format="a.%s.b.%s"), "a.nsq.*.topic.t.depth.b.nsq.*.topic.t.depth"),
        (Naming(prefix="x.%s.%s."), "stats.gauges.x.*.*.topic.t.depth"),
        (Naming(prefix="fixed"), "stats.gauges.fixed.topic.t.depth"),
        (Naming(prefix=""), "stats.gauges.topic.t.depth"),
    ],
)
def test_formats_and_prefixes_are_the_operators(naming: Naming, depth: str) -> None:
    assert of_topic(naming, "t")[0].targets == (f"sumSeries({depth})",)


def test_counts_are_divided_by_the_interval() -> None:
    assert of_counter(Naming(interval=10))[0].targets[0].endswith(",0.1)")


@given(
    st.text(max_size=20), st.text(max_size=20), st.text(max_size=20), st.lists(st.floats(0, 1), max_size=3)
)
def test_whatever_the_names_expressions_are_well_formed(
    topic: str, channel: str, node: str, quantiles: list[float]
) -> None:
    graphs = of_topic(PLAIN, topic, node, quantiles) + of_channel(PLAIN, topic, channel, node, quantiles)
    for graph in graphs + of_node(PLAIN, node):
        for target in graph.targets:
            assert re.fullmatch(r"[a-zA-Z0-9_.,()*-]+", target)
            assert target.count("(") == target.count(")")
