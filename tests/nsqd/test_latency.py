"""How good the quantiles of latencies are, and which FINs are in them."""

from __future__ import annotations

import time
from math import ceil
from pathlib import Path
from unittest.mock import patch

import hypothesis.strategies as st
import pytest
from hypothesis import given

from nsqd.frames import FrameBuilder
from nsqd.guid import Ids
from nsqd.latency import Histogram, Latency, merge
from tests.support.nsqd import Node

MINUTE_NS = 60_000_000_000
ERROR = 1 / 128
LATENCIES = st.lists(st.integers(0, 10 * MINUTE_NS) | st.integers(0, 300), min_size=1, max_size=200)
QUANTILES = st.floats(0.001, 1.0)
builder = FrameBuilder(Ids(1))


def histogram(*latencies: int) -> Histogram:
    result = Histogram()
    for latency in latencies:
        result.add(latency)
    return result


def exact(latencies: list[int], quantile: float) -> int:
    """The smallest latency that so large a part does not exceed."""
    return sorted(latencies)[ceil(quantile * len(latencies)) - 1]


def frames_of_age(*ages: float) -> list[bytes]:
    """Messages that were published so many seconds ago."""
    published = [(time.time_ns() - int(age * 1e9)).to_bytes(8, "big") for age in ages]
    frames = builder.many([b"x"] * len(ages)).frames
    return [frame[:8] + at + frame[16:] for frame, at in zip(frames, published, strict=True)]


@given(LATENCIES, QUANTILES)
def test_a_quantile_is_off_by_less_than_a_percent(latencies: list[int], quantile: float) -> None:
    [found] = histogram(*latencies).quantiles([quantile])
    truth = exact(latencies, quantile)
    assert abs(found - truth) <= ERROR * truth


@given(LATENCIES)
def test_the_longest_is_never_overstated(latencies: list[int]) -> None:
    [found] = histogram(*latencies).quantiles([1.0])
    assert (1 - ERROR) * max(latencies) <= found <= max(latencies)


@given(st.lists(LATENCIES, max_size=5), st.lists(QUANTILES, max_size=4))
def test_merged_histograms_tell_the_same_as_one_that_saw_everything(
    parts: list[list[int]], quantiles: list[float]
) -> None:
    merged = Histogram()
    for part in parts:
        merged.add_all(histogram(*part))
    whole = histogram(*(latency for part in parts for latency in part))
    assert (merged.count, merged.longest) == (whole.count, whole.longest)
    assert merged.quantiles(quantiles) == whole.quantiles(quantiles)


@given(LATENCIES, st.lists(QUANTILES, min_size=2))
def test_quantiles_come_in_the_order_asked_for_and_grow_with_their_part(
    latencies: list[int], quantiles: list[float]
) -> None:
    found = dict(zip(quantiles, histogram(*latencies).quantiles(quantiles), strict=True))
    assert [found[q] for q in sorted(found)] == sorted(found.values())


def test_memory_is_bounded_whatever_comes() -> None:
    result = Histogram()
    for power in range(63):
        for step in range(200):
            result.add((1 << power) + (step << power) // 200)
    assert len(result._buckets) < 4000


def test_a_clock_that_was_set_back_makes_no_negative_latency() -> None:
    result = histogram(-5)
    assert (result.count, result.quantiles([0.5])) == (1, [0])


def test_without_messages_every_quantile_is_zero() -> None:
    assert Histogram().quantiles([0.99, 0.5]) == [0, 0]


# -- the window ------------------------------------------------------------------------------------


def test_what_was_finished_counts_from_its_publish() -> None:
    latency = Latency(600, [1.0, 0.5])
    latency.finished(frames_of_age(1, 2, 3))
    recent = latency.recent()
    assert recent.count == 3
    assert recent.quantiles([0.1, 0.5, 1.0]) == pytest.approx([1e9, 2e9, 3e9], rel=0.02)


@pytest.mark.parametrize(
    ("after", "count"), [(0, 1), (4.9, 1), (5.1, 1), (9.9, 1), (10.1, 0), (14, 0), (1000, 0)]
)
def test_the_window_is_forgotten_half_by_half(after: float, count: int) -> None:
    with patch("nsqd.latency.time.monotonic") as clock:
        clock.return_value = 100.0
        latency = Latency(10, [1.0])
        latency.finished(frames_of_age(1))
        clock.return_value += after
        assert latency.recent().count == count


def test_halves_keep_their_pace_after_a_long_silence() -> None:
    with patch("nsqd.latency.time.monotonic") as clock:
        clock.return_value = 100.0
        latency = Latency(10, [1.0])
        clock.return_value = 1002.0
        latency.finished(frames_of_age(1))
        clock.return_value = 1006.0
        latency.finished(frames_of_age(1))
        assert latency.recent().count == 2
        clock.return_value = 1010.0
        assert latency.recent().count == 1


def test_channels_merge_into_their_topic() -> None:
    one, two = Latency(600, [1.0]), Latency(600, [1.0])
    one.finished(frames_of_age(1, 1))
    two.finished(frames_of_age(5))
    assert merge([one, two]).count == 3
    assert one.recent().count == 2


# -- in the daemon ---------------------------------------------------------------------------------


@pytest.mark.usefixtures("quick_disk")
@pytest.mark.parametrize("together", [1, 2, 700])
async def test_fins_are_measured_however_they_come(tmp_path: Path, together: int) -> None:
    flag = "--e2e-processing-latency-percentile=0.5,1.0"
    async with Node(tmp_path, flag) as node:
        consumer = await node.subscribe("t", "c", rdy=2500)
        await consumer.mpub("t", *[b"x"] * 700)
        messages = await consumer.messages(700)
        for start in range(0, 700, together):
            consumer.send(b"".join(b"FIN %b\n" % m.id for m in messages[start : start + together]))
            if together == 1 and start < 3:
                await consumer.settled()  # a read of its own
        await consumer.settled()
        assert len(node.channel("t", "c").clients[0].in_flight) == 0
        assert node.channel("t", "c").clients[0].finish_count == 700
        [topic] = (await node.stats())["topics"]
        assert topic["channels"][0]["e2e_processing_latency"]["count"] == 700
        consumer.fin(messages[0].id)
        await consumer.expect_error(f"E_FIN_FAILED FIN {messages[0].id.decode()} failed ID not in flight")


@pytest.mark.usefixtures("quick_disk")
async def test_stats_tell_them_of_channels_and_merged_of_the_topic(tmp_path: Path) -> None:
    flag = "--e2e-processing-latency-percentile=0.5,1.0"
    async with Node(tmp_path, flag) as node:
        node.broker.topic(b"lone")
        for name, count in (("one", 3), ("two", 2)):
            consumer = await node.subscribe("t", name, rdy=10)
            await consumer.mpub("t", *[b"x"] * count)
            for message in await consumer.messages(count):
                consumer.fin(message.id)
            await consumer.settled()
        lone, topic = (await node.stats())["topics"]
        assert lone["e2e_processing_latency"] == {"count": 0, "percentiles": None}
        told = topic["e2e_processing_latency"]
        assert told["count"] == sum(c["e2e_processing_latency"]["count"] for c in topic["channels"]) == 5
        wanted = node.broker.options.e2e_processing_latency_percentiles
        assert [p["quantile"] for p in told["percentiles"]] == wanted
        assert all(0 < p["value"] < 5e9 for p in told["percentiles"])
        answer = await node.request("GET", "/stats?format=json")
        assert b'{"quantile":1,"value":' in answer.body
        text = (await node.request("GET", "/stats")).body.decode()
        [line] = [line for line in text.splitlines() if line.startswith("   [t ")]
        assert all(part[-2:] in ("us", "ms") for part in line.partition("e2e%: ")[2].split(", "))


@pytest.mark.usefixtures("quick_disk")
async def test_without_percentiles_nothing_is_measured(node: Node) -> None:
    consumer = await node.subscribe("t", "c", rdy=1)
    await consumer.pub("t", b"x")
    consumer.fin((await consumer.message()).id)
    await consumer.settled()
    assert node.channel("t", "c").latency is None
    [topic] = (await node.stats())["topics"]
    assert topic["channels"][0]["e2e_processing_latency"] == {"count": 0, "percentiles": None}
