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
