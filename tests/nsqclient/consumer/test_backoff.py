from __future__ import annotations

from datetime import timedelta

import pytest

from nsqclient.consumer.backoff import BackoffLevel, Signal, Step
from nsqclient.consumer.options import Backoff

RESUME, BACKOFF, CONTINUE = Signal.RESUME, Signal.BACKOFF, Signal.CONTINUE


def pauses(level: BackoffLevel, *signals: Signal) -> list[float | None]:
    """The pause that each signal leads to; each is waited for."""
    found = []
    for signal in signals:
        step = level.signal(signal, 0.5)
        assert step is not None
        found.append(step.pause)
        level.pause_ended()
    return found


def test_pauses_double_up_to_the_last_that_fits() -> None:
    level = BackoffLevel(Backoff())
    assert pauses(level, *[BACKOFF] * 8) == [2, 4, 8, 16, 32, 64, 64, 64]
    assert level.level == 6


def test_recovery_takes_one_success_for_each_level() -> None:
    level = BackoffLevel(Backoff())
    pauses(level, *[BACKOFF] * 6)
    assert pauses(level, *[RESUME] * 6) == [32, 16, 8, 4, 2, None]
    assert level.level == 0


def test_signals_during_a_pause_are_ignored() -> None:
    level = BackoffLevel(Backoff())
    assert level.signal(BACKOFF, 0.5) == Step(2.0)
    assert [level.signal(s, 0.5) for s in (BACKOFF, RESUME, CONTINUE)] == [None, None, None]
    assert (level.level, level.testing) == (1, False)
    level.pause_ended()
    assert level.testing


def test_a_requeue_without_backoff_repeats_the_pause() -> None:
    level = BackoffLevel(Backoff())
    assert pauses(level, BACKOFF, CONTINUE, CONTINUE, RESUME) == [2, 2, 2, None]


@pytest.mark.parametrize("signal", [RESUME, CONTINUE])
def test_nothing_happens_while_all_is_well(signal: Signal) -> None:
    level = BackoffLevel(Backoff())
    assert level.signal(signal, 0.5) is None
    assert not level.testing


def test_a_longest_pause_below_the_first_cuts_it() -> None:
    level = BackoffLevel(Backoff(max_duration=0.5))
    assert pauses(level, BACKOFF, BACKOFF, RESUME) == [0.5, 0.5, None]


def test_a_longest_pause_of_zero_switches_it_off() -> None:
    assert BackoffLevel(Backoff(max_duration=0)).signal(BACKOFF, 0.5) is None


def test_full_jitter_draws_each_pause_and_leaves_the_levels_as_they_are() -> None:
    level = BackoffLevel(Backoff(strategy="full_jitter"))
    assert pauses(level, *[BACKOFF] * 7) == [1, 2, 4, 8, 16, 32, 32]


def test_a_multiplier_of_zero_never_waits() -> None:
    level = BackoffLevel(Backoff(multiplier=0, strategy="full_jitter"))
    assert pauses(level, BACKOFF, RESUME) == [0, None]


def test_a_strategy_of_ones_own_says_how_long_each_level_lasts() -> None:
    class Linear:
        def calculate(self, level: int) -> float:
            return 10.0 * level

    level = BackoffLevel(Backoff(strategy=Linear(), max_duration=35))
    assert pauses(level, *[BACKOFF] * 4, RESUME) == [10, 20, 30, 30, 20]


def test_a_strategy_of_ones_own_is_cut_to_the_longest_pause() -> None:
    class Odd:
        def calculate(self, level: int) -> timedelta:
            return timedelta(minutes=5) if level == 1 else timedelta(seconds=-5)

    assert pauses(BackoffLevel(Backoff(strategy=Odd())), BACKOFF, BACKOFF) == [120, 0]
