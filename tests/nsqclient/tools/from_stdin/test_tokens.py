"""When records may go."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from nsqclient.tools.from_stdin.tokens import Tokens


def spend(tokens: Tokens, count: int, now: float) -> list[float]:
    """When each of so many records went, for one who waits as told."""
    times = list[float]()
    while len(times) < count:
        taken = min(tokens.available(now), count - len(times))
        tokens.take(taken, now)
        times += [now] * taken
        now += tokens.wait(now)
    return [*times, now]


def test_ten_records_at_five_a_second_take_two_seconds() -> None:
    times = spend(Tokens(5, 100.0), 10, 100.0)
    assert [round(time - 100, 6) for time in times] == [0, 0.2, 0.4, 0.6, 0.8, 1, 1.2, 1.4, 1.6, 1.8, 2.0]


def test_the_first_may_go_at_once_and_the_second_may_not() -> None:
    tokens = Tokens(5, 0.0)
    assert (tokens.available(0.0), tokens.wait(0.0)) == (1, 0.0)
    tokens.take(1, 0.0)
    assert (tokens.available(0.1), tokens.available(0.2)) == (0, 1)
    assert tokens.wait(0.15) - 0.05 < 1e-9


def test_what_is_not_used_is_saved_for_a_second_and_no_longer() -> None:
    tokens = Tokens(5, 0.0)
    assert (tokens.available(0.4), tokens.available(1.0), tokens.available(60.0)) == (3, 5, 5)
    tokens.take(5, 60.0)
    assert (tokens.available(60.0), tokens.available(60.2)) == (0, 1)


@given(
    st.integers(min_value=1, max_value=100_000),
    st.lists(st.floats(min_value=0.0001, max_value=2.0), min_size=1, max_size=30),
)
def test_no_more_go_than_the_rate_allows_however_they_come(rate: int, pauses: list[float]) -> None:
    now, sent = 5.0, 0
    tokens = Tokens(rate, now)
    for pause in pauses:
        now += pause
        count = tokens.available(now)
        tokens.take(count, now)
        sent += count
        assert tokens.available(now) == 0
    assert sent <= rate * (now - 5.0) + 1 + 1e-3 * len(pauses)
    assert sent >= min(1, rate)
