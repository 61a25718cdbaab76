from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsqclient import ConfigError
from nsqclient.tools.common.picking import (
    BUCKET,
    BUCKETS,
    FIRST_EPSILON,
    LAST_EPSILON,
    EpsilonGreedy,
    HostPool,
    Picker,
    RoundRobin,
    Speed,
    check_mode,
    picker,
)

ABC = ("a", "b", "c")


class Time:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def chances(*values: float) -> Callable[[], float]:
    left = list(values)
    return lambda: left.pop(0)


def picks(picker: Picker, count: int) -> str:
    return "".join(picker.pick() for _ in range(count))


def test_round_robin_takes_turns_whatever_fails() -> None:
    turns = RoundRobin(ABC)
    assert picks(turns, 4) == "abca"
    turns.failed("b")
    turns.succeeded("c", 0.1)
    assert picks(turns, 3) == "bca"


def test_a_host_pool_takes_turns_while_all_works() -> None:
    pool = HostPool(ABC, Time())
    assert picks(pool, 7) == "abcabca"


def test_an_address_that_failed_is_skipped_for_half_a_minute() -> None:
    time = Time()
    pool = HostPool(ABC, time)
    pool.failed("b")
    assert picks(pool, 4) == "acac"
    time.now += 29.9
    assert picks(pool, 2) == "ac"
    time.now += 0.1
    assert picks(pool, 4) == "abca"  # one message only, until it is known how it did
    pool.succeeded("b", 0.1)
    assert picks(pool, 3) == "bca"


def test_the_rest_of_an_address_doubles_up_to_a_quarter_of_an_hour() -> None:
    time = Time()
    pool = HostPool(("good", "bad"), time)
    pool.failed("bad")
    rests = []
    for _ in range(7):
        started = time.now
        while pool.pick() != "bad" and pool.pick() != "bad":
            time.now += 1
        rests.append(time.now - started)
        pool.failed("bad")
    assert rests == [30, 60, 120, 240, 480, 900, 900]


def test_after_a_success_the_rest_begins_anew() -> None:
    time = Time()
    pool = HostPool(("good", "bad"), time)
    for _ in range(3):
        pool.failed("bad")
        time.now += 1000
        assert "bad" in (pool.pick(), pool.pick())
    pool.succeeded("bad", 0.1)
    pool.failed("bad")
    time.now += 30
    assert "bad" in (pool.pick(), pool.pick())


def test_failures_of_messages_sent_together_count_as_one() -> None:
    time = Time()
    pool = HostPool(("good", "bad"), time)
    for _ in range(50):
        pool.failed("bad")
    time.now += 30
    assert "bad" in (pool.pick(), pool.pick())


def test_when_all_have_failed_all_are_tried_again() -> None:
    pool = HostPool(ABC, Time())
    for address in ABC:
        pool.failed(address)
    assert picks(pool, 6) == "abcabc"


def test_an_only_address_is_picked_whatever_happens() -> None:
    for mode in ("round-robin", "hostpool", "epsilon-greedy"):
        only = picker(mode, ["a"], now=Time(), chance=random.Random(1).random)
        for _ in range(5):
            assert only.pick() == "a"
            only.failed("a")


def test_an_address_given_twice_counts_once() -> None:
    assert picks(picker("round-robin", ["a", "a", "b"], now=Time(), chance=random.random), 4) == "abab"


def test_epsilon_greedy_takes_turns_while_no_speed_is_known() -> None:
    assert picks(EpsilonGreedy(ABC, Time(), chances(0.9, 0.0, 0.9, 0.0, 0.9, 0.0)), 3) == "abc"


def test_epsilon_greedy_draws_in_proportion_to_speed() -> None:
    generator = random.Random(7)
    greedy = EpsilonGreedy(("fast", "slow"), Time(), generator.random)
    greedy.succeeded("fast", 0.010)
    greedy.succeeded("slow", 0.040)
    greedy.epsilon = LAST_EPSILON
    drawn = Counter(greedy.pick() for _ in range(10_000))
    assert 0.77 < drawn["fast"] / 10_000 < 0.82  # 0.8, and half of one percent explores


def test_hosts_faster_than_a_millisecond_are_told_apart() -> None:
    greedy = EpsilonGreedy(("fast", "slow"), Time(), random.Random(7).random)
    greedy.succeeded("fast", 0.0001)
    greedy.succeeded("slow", 0.0009)
    assert Counter(greedy.pick() for _ in range(1000)).most_common(1)[0][0] == "fast"


def test_exploring_decays_from_thirty_percent_to_one() -> None:
    greedy = EpsilonGreedy(ABC, Time(), lambda: 0.0)
    assert greedy.epsilon == FIRST_EPSILON
    assert picks(greedy, 1) == "a"
    assert greedy.epsilon == pytest.approx(0.27)
    assert picks(greedy, 99) == ("bca" * 33)
    assert greedy.epsilon == LAST_EPSILON


def test_epsilon_greedy_leaves_failed_addresses_alone() -> None:
    time = Time()
    greedy = EpsilonGreedy(("fast", "slow"), time, random.Random(3).random)
    greedy.succeeded("fast", 0.001)
    greedy.succeeded("slow", 0.100)
    greedy.failed("fast")
    assert set(picks(greedy, 1)) <= set("slow")
    assert {greedy.pick() for _ in range(100)} == {"slow"}
    time.now += 30
    assert "fast" in {greedy.pick() for _ in range(100)}


def test_a_speed_is_forgotten_after_five_minutes() -> None:
    speed = Speed()
    speed.add(1000.0, 0.1)
    assert speed.at(1000.0) == pytest.approx(10)
    assert speed.at(1000.0 + BUCKET * (BUCKETS - 1)) == pytest.approx(10)
    assert speed.at(1000.0 + BUCKET * BUCKETS) == 0


def test_late_times_count_more_than_early_ones() -> None:
    speed = Speed()
    speed.add(1000.0, 0.1)
    speed.add(1150.0, 0.3)
    assert 1 / 0.3 < speed.at(1150.0) < 1 / 0.2


def test_unknown_modes_are_refused_by_name() -> None:
    check_mode("all")
    with pytest.raises(
        ConfigError, match=r"^--mode is hostpol, want round-robin, hostpool, epsilon-greedy or all$"
    ):
        check_mode("hostpol")
    with pytest.raises(ConfigError, match=r"^--mode is empty, want"):
        check_mode("")
    with pytest.raises(ConfigError, match=r"want round-robin, hostpool or epsilon-greedy$"):
        picker("all", ABC, now=Time(), chance=random.random)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("pick"), st.just("")),
        st.tuples(st.sampled_from(("failed", "succeeded")), st.sampled_from(ABC)),
        st.tuples(st.just("wait"), st.sampled_from(("1", "30", "2000"))),
    ),
    max_size=60,
)


@given(mode=st.sampled_from(("hostpool", "epsilon-greedy")), steps=STEPS, seed=st.integers(0, 99))
def test_an_address_that_rests_is_picked_only_when_none_works(
    mode: str, steps: list[tuple[str, str]], seed: int
) -> None:
    time = Time()
    pool = picker(mode, ABC, now=time, chance=random.Random(seed).random)
    resting: dict[str, float] = {}  # until when at least
    for step, what in steps:
        if step == "wait":
            time.now += float(what)
        elif step == "succeeded":
            pool.succeeded(what, 0.01)
            resting.pop(what, None)
        elif step == "failed":
            pool.failed(what)
            resting.setdefault(what, time.now + 30)
        else:
            address = pool.pick()
            assert address in ABC
            if resting.get(address, 0) > time.now:
                assert all(resting.get(other, 0) > time.now for other in ABC)
                resting.clear()
            elif address in resting:
                resting[address] = time.now + 30


@given(times=st.lists(st.tuples(st.floats(0, 100), st.floats(0, 60)), min_size=1, max_size=50))
def test_a_speed_lies_between_those_of_the_slowest_and_the_fastest(times: list[tuple[float, float]]) -> None:
    speed, now, taken = Speed(), 1000.0, []
    for later, seconds in times:
        now += later
        speed.add(now, seconds)
        taken.append(max(seconds, 1e-6))
    assert 1 / max(taken) * 0.999 <= speed.at(now) <= 1 / min(taken) * 1.001
