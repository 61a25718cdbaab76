from __future__ import annotations

import math
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from nsqclient.http.answers import ChannelStats, Stats, TopicStats
from nsqclient.tools.stat.counts import Rates, Reading, Row, reading


def channel(name: str = "c", **counts: Any) -> ChannelStats:
    """A channel that has seen nothing but what is said."""
    names = ("depth", "backend_depth", "in_flight_count", "deferred_count", "message_count", "requeue_count")
    zero = dict.fromkeys((*names, "timeout_count"), 0)
    return ChannelStats(channel_name=name, **(zero | counts))


def told(at: float, *channels: ChannelStats, node: str = "a", start_time: int = 1) -> Reading:
    """What a nsqd tells at a second."""
    return Reading(node, at, start_time, {c.channel_name: c for c in channels})


def row(rates: Rates, *readings: Reading) -> Row:
    (found,) = rates.rows(readings, ["c"])
    return found


def test_counts_of_all_nsqds_are_added() -> None:
    one = channel(
        depth=5,
        backend_depth=2,
        in_flight_count=3,
        deferred_count=4,
        message_count=50,
        requeue_count=6,
        timeout_count=7,
        client_count=1,
    )
    two = channel(
        depth=10,
        backend_depth=10,
        in_flight_count=30,
        deferred_count=40,
        message_count=500,
        requeue_count=60,
        timeout_count=70,
        client_count=2,
        paused=True,
    )
    assert row(Rates(), told(1, one), told(1, two, node="b")) == Row(
        channel="c",
        ingress=None,
        egress=None,
        depth=15,
        memory_depth=3,
        backend_depth=12,
        in_flight_count=33,
        deferred_count=44,
        requeue_count=66,
        timeout_count=77,
        message_count=550,
        client_count=3,
        paused=True,
        nodes=2,
    )


def test_rates_are_taken_over_the_time_that_really_passed() -> None:
    rates = Rates()
    row(rates, told(10.0, channel(message_count=100, depth=7)))
    now = row(rates, told(14.0, channel(message_count=180, depth=27)))
    assert (now.ingress, now.egress) == (20.0, 15.0)


def test_rates_of_nsqds_that_were_asked_at_different_moments_are_added() -> None:
    rates = Rates()
    rates.rows([told(0.0, channel()), told(1.0, channel(), node="b")], ["c"])
    now = row(rates, told(2.0, channel(message_count=20)), told(5.0, channel(message_count=20), node="b"))
    assert now.ingress == 15.0


def test_a_nsqd_that_was_started_anew_adds_to_the_depth_and_to_no_rate() -> None:
    rates = Rates()
    rates.rows([told(0, channel(message_count=1000)), told(0, channel(), node="b")], ["c"])
    anew = told(2, channel(message_count=5, depth=900), start_time=9)
    now = row(rates, anew, told(2, channel(message_count=8), node="b"))
    assert (now.ingress, now.egress, now.depth) == (4.0, 4.0, 900)
    later = row(rates, told(4, channel(message_count=25, depth=900), start_time=9))
    assert later.ingress == 10.0


def test_a_restart_is_known_even_when_the_new_counts_are_higher() -> None:
    rates = Rates()
    row(rates, told(0, channel(message_count=1)))
    assert row(rates, told(2, channel(message_count=1000), start_time=2)).ingress is None


def test_a_channel_that_was_made_anew_gives_no_negative_rate() -> None:
    rates = Rates()
    row(rates, told(0, channel(message_count=1000)))
    now = row(rates, told(2, channel(message_count=2)))
    assert (now.ingress, now.egress) == (None, None)


def test_a_nsqd_that_was_away_adds_its_average_since_then() -> None:
    rates = Rates()
    rates.rows([told(0, channel()), told(0, channel(), node="b")], ["c"])
    without = row(rates, told(2, channel(message_count=20)))
    assert (without.ingress, without.message_count, without.nodes) == (10.0, 20, 1)
    back = row(rates, told(4, channel(message_count=40)), told(4, channel(message_count=400), node="b"))
    assert (back.ingress, back.nodes) == (110.0, 2)


def test_a_nsqd_that_is_new_makes_no_rate_of_all_it_ever_counted() -> None:
    rates = Rates()
    row(rates, told(0, channel()))
    now = row(rates, told(2, channel(message_count=2)), told(2, channel(message_count=10**9), node="b"))
    assert (now.ingress, now.message_count) == (1.0, 10**9 + 2)


def test_one_that_was_forgotten_begins_anew() -> None:
    rates = Rates()
    row(rates, told(0, channel()))
    rates.forget(["a", "never heard of"])
    assert row(rates, told(2, channel(message_count=10))).ingress is None


def test_messages_that_go_back_to_the_queue_make_the_egress_negative_as_the_original_shows_it() -> None:
    rates = Rates()
    row(rates, told(0, channel(message_count=10, in_flight_count=10)))
    assert row(rates, told(2, channel(message_count=10, depth=10))).egress == -5.0


def test_channels_that_no_nsqd_has_get_no_row() -> None:
    rows = Rates().rows([told(0, channel("x")), told(0, channel("y"), node="b")], ["y", "z", "x"])
    assert [r.channel for r in rows] == ["y", "x"]


def test_an_answer_without_the_topic_is_a_reading_without_channels() -> None:
    stats = Stats(version="1.3.0", health="OK", start_time=3, topics=())
    assert reading("a", 1.0, stats, "t") == Reading("a", 1.0, 3, {})
    topic = TopicStats(topic_name="t", channels=(channel(),), depth=0, backend_depth=0, message_count=0)
    having = Stats(version="1.3.0", health="OK", start_time=3, topics=(topic,))
    assert reading("a", 1.0, having, "t") == told(1.0, channel(), start_time=3)


def test_names_that_no_channel_has_are_left_out() -> None:
    channels = tuple(channel(name) for name in ("c", "\x1b[2J", "", "two words"))
    topic = TopicStats(topic_name="t", channels=channels, depth=0, backend_depth=0, message_count=0)
    stats = Stats(version="1.3.0", health="OK", start_time=3, topics=(topic,))
    assert set(reading("a", 1.0, stats, "t").channels) == {"c"}


counts = st.integers(min_value=0, max_value=10**12)
polls = st.lists(
    st.dictionaries(st.sampled_from("abc"), st.tuples(counts, counts, st.integers(1, 3)), max_size=3),
    max_size=12,
)


@given(polls)
def test_whatever_nsqds_do_the_ingress_is_never_negative_and_totals_are_those_of_the_answers(
    history: list[dict[str, tuple[int, int, int]]],
) -> None:
    rates = Rates()
    for n, poll in enumerate(history):
        readings = [
            told(n * 2.0, channel(message_count=messages, depth=depth), node=node, start_time=started)
            for node, (messages, depth, started) in poll.items()
        ]
        rows = rates.rows(readings, ["c"])
        assert len(rows) == bool(poll)
        for found in rows:
            assert found.ingress is None or (found.ingress >= 0 and math.isfinite(found.ingress))
            assert found.message_count == sum(messages for messages, _, _ in poll.values())
            assert found.nodes == len(poll)
