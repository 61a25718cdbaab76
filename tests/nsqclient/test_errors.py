from __future__ import annotations

import pytest

from nsqclient import (
    Backlogged,
    ConnectError,
    NoNodes,
    PublishError,
    PublishNotSent,
    PublishRejected,
    PublishTimeout,
    PublishUnknown,
    SubscribeRefused,
)


def test_all_outcomes_have_one_root() -> None:
    for error in (
        PublishRejected("x"),
        PublishNotSent("x"),
        PublishUnknown("x"),
        PublishTimeout("x", "unknown"),
        Backlogged("x"),
        NoNodes("x"),
    ):
        assert isinstance(error, PublishError)
        assert str(error) == "x"
        assert error.outcome in ("rejected", "not_sent", "unknown")


def test_errors_carry_their_facts() -> None:
    rejected = PublishRejected("no", code="E_BAD_TOPIC", node="a:1", attempts=2)
    assert (rejected.code, rejected.node, rejected.attempts) == ("E_BAD_TOPIC", "a:1", 2)
    connect = ConnectError("a:1", "refused")
    assert (connect.node, connect.reason, str(connect)) == ("a:1", "refused", "a:1: refused")
    refused = SubscribeRefused("a:1", "E_SUB_FAILED", "too many")
    assert (refused.node, refused.code, str(refused)) == ("a:1", "E_SUB_FAILED", "a:1: too many")


def test_a_publish_that_timed_out_is_a_timeout() -> None:
    with pytest.raises(TimeoutError):
        raise PublishTimeout("late", "not_sent")
