from __future__ import annotations

import pytest

from nsqclient.tools.common.client_options import ClientOption
from nsqclient.tools.common.outage import SHORTEST, USUAL, Outage, outage_of
from nsqclient.tools.common.sources import Sources


def test_a_message_waits_as_long_again_as_the_outage_has_lasted_within_bounds() -> None:
    times = iter([1000.0, 1000.5, 1010.0, 1089.0, 5000.0, 5001.0])
    outage = Outage(lambda: next(times))
    assert [outage.delay(1) for _ in range(5)] == [SHORTEST, SHORTEST, 10.0, 89.0, USUAL.delay(1)]
    outage.over()
    assert outage.delay(1) == SHORTEST


def test_a_message_that_breaks_whoever_takes_it_waits_twice_as_long_each_time() -> None:
    outage = Outage()
    delays = []
    for attempts in range(1, 12):
        delays.append(outage.delay(attempts))
        outage.over()  # others get through
    assert delays == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 900.0]
    assert outage.delay(65535) == 900.0


@pytest.mark.parametrize(
    ("text", "ours"),
    [
        ("default_requeue_delay,90s", False),
        ("max_requeue_delay,0s", False),
        ("max_attempts,5", False),
        ("max_attempts,0", True),
        ("max_backoff_duration,0s", True),
    ],
)
def test_what_the_options_say_of_retries_is_obeyed(text: str, *, ours: bool) -> None:
    assert (outage_of(Sources(consumer_opt=list(ClientOption.parse(text)))) is not None) is ours
