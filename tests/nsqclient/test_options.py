from __future__ import annotations

import socket
from collections.abc import Callable
from datetime import timedelta

import pytest

from nsqclient import Backoff, ConfigError, ConnectionOptions, FullJitter, Limits, LinearRequeue, RetryPolicy
from nsqclient.durations import to_ms, to_seconds


def test_durations_are_seconds_or_timedelta() -> None:
    assert to_seconds(timedelta(milliseconds=1500)) == to_seconds(1.5) == 1.5
    assert to_ms(timedelta(milliseconds=1500)) == 1500


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_duration_is_finite(value: float) -> None:
    with pytest.raises(ConfigError, match="finite"):
        to_seconds(value)


def test_identify_says_the_defaults_of_the_original_client() -> None:
    body = ConnectionOptions().identify()
    assert body["heartbeat_interval"] == 30000
    assert body["output_buffer_size"] == 16384
    assert body["output_buffer_timeout"] == 250
    assert body["sample_rate"] == body["msg_timeout"] == 0
    assert body["feature_negotiation"] is True
    assert body["hostname"] == socket.gethostname()
    assert body["client_id"] == socket.gethostname().partition(".")[0]
    assert str(body["user_agent"]).startswith("nsqclient/")


def test_identify_says_what_was_set() -> None:
    options = ConnectionOptions(
        heartbeat=timedelta(seconds=5),
        msg_timeout=90,
        output_buffer_size=-1,
        output_buffer_timeout=0.025,
        sample_rate=10,
        client_id="c",
        hostname="h.example",
        user_agent="u/1",
    )
    assert options.identify() == {
        "client_id": "c",
        "hostname": "h.example",
        "user_agent": "u/1",
        "feature_negotiation": True,
        "heartbeat_interval": 5000,
        "output_buffer_size": -1,
        "output_buffer_timeout": 25,
        "sample_rate": 10,
        "msg_timeout": 90000,
    }


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: ConnectionOptions(heartbeat=0.5), "heartbeat is 0.5, want from 1 to 60"),
        (lambda: ConnectionOptions(heartbeat=61), "heartbeat is 61"),
        (lambda: ConnectionOptions(heartbeat=20, read_timeout=10), "longer than read_timeout"),
        (lambda: ConnectionOptions(msg_timeout=0), "msg_timeout"),
        (lambda: ConnectionOptions(output_buffer_size=63), "output_buffer_size is 63, want from 64 to 65536"),
        (lambda: ConnectionOptions(output_buffer_timeout=0.01), "output_buffer_timeout"),
        (lambda: ConnectionOptions(sample_rate=100), "sample_rate"),
        (lambda: ConnectionOptions(dial_timeout=0), "dial_timeout"),
        (lambda: ConnectionOptions(handshake_timeout=0), "handshake_timeout"),
        (lambda: Limits(max_msg_size=0), "max_msg_size is 0, want at least 1"),
        (lambda: Limits(max_body_size=8), "max_body_size"),
        (lambda: Limits(max_delay=-1), "max_delay"),
        (lambda: FullJitter(0), "base"),
        (lambda: FullJitter(5, cap=1), "cap is 1, want at least 5"),
        (lambda: RetryPolicy(attempts=0), "attempts"),
        (lambda: RetryPolicy(on_unknown="maybe"), "on_unknown is 'maybe'"),  # type: ignore[arg-type]
        (lambda: Backoff(multiplier=-1), "multiplier"),
        (lambda: Backoff(max_duration=3601), "max_duration"),
        (lambda: Backoff(strategy="linear"), "strategy is 'linear'"),  # type: ignore[arg-type]
        (lambda: LinearRequeue(-1), "step"),
        (lambda: LinearRequeue(cap=-1), "cap"),
    ],
)
def test_what_nsqd_would_refuse_is_refused_here(make: Callable[[], object], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        make()


def test_full_jitter_grows_to_its_cap() -> None:
    pace = FullJitter(0.1, cap=1.0)
    assert [pace.ceiling(n) for n in range(5)] == [0.1, 0.2, 0.4, 0.8, 1.0]
    assert pace.ceiling(10_000) == 1.0
    assert pace.delay(1, 0.5) == 0.1


def test_requeue_delays_grow_with_the_attempts() -> None:
    assert [LinearRequeue().delay(n) for n in (1, 2, 10, 11)] == [90, 180, 900, 900]
