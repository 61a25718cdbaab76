from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsqclient import ConfigError, DelayOutOfRange, EmptyMessage, InvalidName, Limits, MessageTooLarge
from nsqclient.checks import check_bodies, check_body, check_delay, check_name, check_timeout, plain_bodies

LIMITS = Limits(max_msg_size=10, max_body_size=30, max_delay=60)


@pytest.mark.parametrize("name", ["a", "A.b_c-9", "x" * 64, "t#ephemeral"])
def test_good_names_pass(name: str) -> None:
    check_name("topic", name)


@pytest.mark.parametrize("name", ["", "a b", "x" * 65, "t#", "ü", "a\n", b"t", None])
def test_bad_names_do_not(name: object) -> None:
    with pytest.raises(InvalidName, match="topic name"):
        check_name("topic", name)


@pytest.mark.parametrize("body", [b"x", bytearray(b"x"), memoryview(b"x")])
def test_a_body_is_bytes_of_any_kind(body: object) -> None:
    checked = check_body(body, LIMITS)
    assert type(checked) is bytes
    assert checked == b"x"


def test_text_is_not_a_body() -> None:
    with pytest.raises(TypeError, match="bytes, not str"):
        check_body("text", LIMITS)


def test_an_empty_body_is_refused() -> None:
    with pytest.raises(EmptyMessage):
        check_body(b"", LIMITS)


def test_size_limits_are_inclusive() -> None:
    check_body(b"x" * 10, LIMITS)
    with pytest.raises(MessageTooLarge, match="11 bytes, the limit is 10"):
        check_body(b"x" * 11, LIMITS)


def test_several_bodies_are_limited_together() -> None:
    # 4 for the count, 4 for each length
    assert check_bodies([b"x" * 9, b"x" * 9], LIMITS) == [b"x" * 9] * 2
    with pytest.raises(MessageTooLarge, match="2 messages take 31 bytes"):
        check_bodies([b"x" * 9, b"x" * 10], LIMITS)


@given(st.lists(st.one_of(st.binary(max_size=12), st.binary(max_size=3).map(bytearray), st.text(max_size=2))))
def test_bodies_found_plain_at_once_are_those_that_pass_as_they_are(bodies: list[object]) -> None:
    passed: object = None
    if all(type(body) is bytes for body in bodies):
        try:
            passed = check_bodies(bodies, LIMITS)
        except ConfigError:
            pass
    assert plain_bodies(bodies, LIMITS) == (passed == bodies)


def test_any_iterable_of_bodies_will_do() -> None:
    assert check_bodies((b for b in (b"a", bytearray(b"b"))), LIMITS) == [b"a", b"b"]


def test_no_bodies_are_refused() -> None:
    with pytest.raises(EmptyMessage):
        check_bodies([], LIMITS)


@pytest.mark.parametrize("bodies", [b"abc", "abc", 7])
def test_one_body_is_not_several(bodies: object) -> None:
    with pytest.raises(TypeError):
        check_bodies(bodies, LIMITS)


def test_delays_become_milliseconds() -> None:
    assert [check_delay(d, LIMITS) for d in (0, 1.5, timedelta(minutes=1))] == [0, 1500, 60000]


@pytest.mark.parametrize("delay", [-0.001, 60.001])
def test_a_delay_is_within_its_range(delay: float) -> None:
    with pytest.raises(DelayOutOfRange):
        check_delay(delay, LIMITS)


def test_a_timeout_is_positive() -> None:
    assert check_timeout(timedelta(seconds=2)) == 2.0
    with pytest.raises(ConfigError):
        check_timeout(0)
