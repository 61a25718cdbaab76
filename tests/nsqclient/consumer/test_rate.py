from __future__ import annotations

import pytest

from nsqclient.consumer.rate import Rate


def test_messages_are_handed_out_evenly() -> None:
    rate, now, times = Rate(2, 0.0), 0.0, []
    for _ in range(4):
        now += rate.wait(now)
        rate.spend(now)
        times.append(now)
    assert times == pytest.approx([0, 0.5, 1.0, 1.5])


def test_a_quiet_time_saves_up_little() -> None:
    rate = Rate(1000, 0.0)
    for _ in range(50):
        assert rate.wait(3600) == 0
        rate.spend(3600)
    assert rate.wait(3600) == pytest.approx(0.001)


def test_about_a_second_of_messages_may_wait() -> None:
    assert Rate(100, 0.0).ahead(0.0) == 105
    slow = Rate(0.1, 0.0)
    assert slow.ahead(0.0) == 1
    slow.spend(0.0)
    assert slow.ahead(0.0) == 0
    assert slow.ahead(9.1) == 1


def test_a_timer_that_is_a_little_early_is_in_time_and_nothing_is_gained_by_it() -> None:
    rate = Rate(10, 0.0)
    rate.spend(0.0)
    assert rate.wait(0.0) == pytest.approx(0.1)
    assert rate.wait(0.1 - 1e-6) == 0
    rate.spend(0.1 - 1e-6)
    assert 0.1 - 1e-6 + rate.wait(0.1 - 1e-6) == pytest.approx(0.2, abs=1e-9)
