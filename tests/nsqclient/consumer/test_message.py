from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from nsqclient import AlreadySettled, CodecError, ConfigError, DeadLetter, Drop, Message, Retry
from nsqclient.consumer.message import LOST
from nsqcore.wire.frames import MESSAGE_HEAD
from tests.nsqclient.sources import RecordingSource

ID = b"0123456789abcdef"


def make(source: RecordingSource | None = None) -> tuple[Message, RecordingSource]:
    source = source or RecordingSource()
    return Message(source, MESSAGE_HEAD.pack(1_700_000_000_123_456_789, 3, ID) + b"body", 5.0), source


def test_a_message_is_read_from_its_frame() -> None:
    message, _ = make()
    assert (message.id, message.body, message.attempts) == (ID.decode(), b"body", 3)
    assert message.timestamp_ns == 1_700_000_000_123_456_789
    assert message.timestamp == datetime(2023, 11, 14, 22, 13, 20, 123456, UTC)
    assert (message.topic, message.channel, message.node) == ("t", "c", "n:4150")
    assert (message.state, message.received_at) == ("held", 5.0)
    assert repr(message) == "<Message 0123456789abcdef held attempts=3 node=n:4150>"


def test_a_frame_shorter_than_its_head_is_no_message() -> None:
    with pytest.raises(struct.error):
        Message(RecordingSource(), b"x" * 25, 0.0)


def test_finishing_twice_is_finishing_once() -> None:
    message, source = make()
    message.finish()
    message.finish()
    assert source.calls == [("finished", ID)]
    assert message.state == "finished"


def test_requeueing_counts_as_a_failure_unless_told_otherwise() -> None:
    message, source = make()
    message.requeue(7)
    message.requeue(9)
    assert source.calls == [("failed", None, 7)]
    message, source = make()
    message.requeue(backoff=False)
    assert source.calls == [("requeue", None)]


def test_a_different_second_answer_is_an_error() -> None:
    message, _ = make()
    message.finish()
    with pytest.raises(AlreadySettled, match="was finished, and can't be requeued"):
        message.requeue()
    message, _ = make()
    message.requeue()
    with pytest.raises(AlreadySettled, match="was requeued, and can't be finished"):
        message.finish()


def test_requeueing_again_a_message_that_was_given_up_for_it_is_fine() -> None:
    message, source = make()
    message.finish()
    message.given_up = True
    message.requeue()
    assert source.calls == [("finished", ID)]


def test_touching_is_for_messages_that_are_held() -> None:
    message, source = make()
    message.touch()
    message.finish()
    message.touch()
    assert source.calls == [("touched", ID), ("finished", ID)]


@pytest.mark.parametrize(
    ("answer", "wanted"),
    [(Message.finish, "finished"), (Message.requeue, "requeued"), (Message.touch, "held")],
)
def test_an_answer_to_a_lost_message_does_nothing(answer: Callable[[Message], None], wanted: str) -> None:
    message, source = make()
    message.state = LOST
    answer(message)
    assert source.calls == [("too_late", wanted)]
    assert message.state == "lost"


async def test_the_block_finishes_the_message() -> None:
    message, source = make()
    async with message as same:
        assert same is message
    assert source.calls == [("finished", ID)]


async def test_the_block_requeues_what_raises_and_lets_it_through() -> None:
    message, source = make()
    error = ValueError("no")
    with pytest.raises(ValueError, match="no"):
        async with message:
            raise error
    assert source.calls == [("failed", error, None)]


@pytest.mark.parametrize("error", [asyncio.CancelledError, KeyboardInterrupt])
async def test_a_cancelled_block_hands_the_message_back(error: type[BaseException]) -> None:
    message, source = make()
    with pytest.raises(error):
        async with message:
            raise error
    assert source.calls == [("hand_back",)]


async def test_the_block_leaves_alone_what_was_answered_inside() -> None:
    message, source = make()
    async with message:
        message.requeue(backoff=False)
    assert source.calls == [("requeue", None)]


async def test_the_block_of_a_lost_message_is_too_late() -> None:
    message, source = make()
    async with message:
        message.state = LOST
    assert source.calls == [("too_late", "finished")]
    for error in (Drop(), LookupError(), DeadLetter()):
        message.settle(error)
    assert [call[1] for call in source.calls[1:]] == ["finished", "requeued", "requeued"]


async def test_an_answer_may_be_given_by_raising_it() -> None:
    for control, call in (
        (Retry(after=3, backoff=False), ("requeue", 3)),
        (Drop("of no use"), ("finished", ID)),
    ):
        message, source = make()
        async with message:
            raise control
        assert source.calls == [call]
    for failure in (Retry("later", after=4), DeadLetter("broken")):
        message, source = make()
        async with message:
            raise failure
        expected = ("failed", failure, 4) if isinstance(failure, Retry) else ("dead", failure)
        assert source.calls == [expected]


async def test_an_answer_raised_after_another_changes_nothing() -> None:
    message, source = make()
    async with message:
        message.finish()
        raise Retry
    assert source.calls == [("finished", ID)]


async def test_the_time_left_counts_from_the_last_touch_up_to_the_hard_limit() -> None:
    loop = asyncio.get_running_loop()
    source = RecordingSource()
    source.lease, source.longest, source.margin = 60, 100, 1
    message = Message(source, MESSAGE_HEAD.pack(1, 1, ID) + b"x", loop.time() - 50)
    assert message.time_left() == pytest.approx(9, abs=0.5)
    assert message.time_left(hard=True) == pytest.approx(49, abs=0.5)
    message.renewed_at = loop.time()
    assert message.time_left() == pytest.approx(49, abs=0.5)  # not 59: that is beyond the hard limit
    message.finish()
    assert message.time_left() == 0


async def test_an_answer_may_be_awaited() -> None:
    message, _ = make()
    await message.touch()
    await message.finish()
    await message.finish()
    message, source = make()
    message.state = LOST
    await message.finish()
    await message.requeue()
    await message.touch()
    assert source.calls == [("too_late", "finished"), ("too_late", "requeued"), ("too_late", "held")]


def test_a_body_is_read_as_json_or_by_the_codec() -> None:
    message, _ = make()
    message.body = b'{"a": [1]}'
    assert message.json() == {"a": [1]}
    assert message.decode(dict) == {"a": [1]}
    assert message.decode(str) == '{"a": [1]}'
    message.body = b"{"
    with pytest.raises(CodecError):
        message.json()
    assert (message.headers, message.key) == ({}, None)


async def test_what_is_contained_ends_with_the_block_and_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    message, source = make()
    error = KeyError("x")
    async with message.contain() as same:
        assert same is message
        raise error
    assert source.calls == [("failed", error, None)]
    (record,) = caplog.records
    assert (record.topic, record.channel, record.node) == ("t", "c", "n:4150")  # type: ignore[attr-defined]
    message, source = make()
    async with message.contain():
        raise Drop
    async with message.contain():
        pass
    assert source.calls == [("finished", ID)]
    assert len(caplog.records) == 1


async def test_a_cancellation_is_not_contained() -> None:
    message, source = make()
    with pytest.raises(asyncio.CancelledError):
        async with message.contain():
            raise asyncio.CancelledError
    assert source.calls == [("hand_back",)]


async def test_keeping_a_message_alive_ends_with_the_block() -> None:
    message, source = make()
    async with message.keep_alive(limit=7):
        assert source.calls == [("keep", 7)]
    assert source.calls[1:] == [("let_go",)]
    with pytest.raises(ConfigError):
        message.keep_alive(limit=-1)
