from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsqclient import ConfigError, DeadlineExceeded, Outgoing, propagate, scope
from nsqclient.content import propagation
from nsqclient.content.propagation import Received, deadline_header, handling_context, insists, read, stamp


@pytest.fixture(autouse=True)
def declared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(propagation, "_declared", set())
    propagate("tenant", "user")


async def test_declared_values_travel_and_all_others_stay() -> None:
    outgoing = Outgoing("t", b"x", key="k")
    async with scope(tenant="acme", password="secret"):
        assert stamp(outgoing) is None
    assert outgoing.headers == {"message-key": "k", "value-tenant": "acme"}


async def test_headers_that_were_given_win() -> None:
    outgoing = Outgoing("t", b"x", {"value-tenant": "mine"})
    async with scope(tenant="acme"):
        stamp(outgoing)
    assert outgoing.headers == {"value-tenant": "mine"}


async def test_what_travels_is_text() -> None:
    async with scope(tenant=5):
        with pytest.raises(ConfigError, match="tenant"):
            stamp(Outgoing("t", b"x"))


def test_a_value_needs_a_name() -> None:
    with pytest.raises(ConfigError):
        propagate("")


@pytest.mark.parametrize(("by_scope", "by_call", "travels"), [
    (None, None, False), (True, None, True), (None, True, True), (True, False, False), (False, True, True),
])  # fmt: skip
async def test_the_deadline_travels_when_scope_or_call_say_so(
    by_scope: bool | None, by_call: bool | None, travels: bool
) -> None:
    async with scope(timeout=5, propagate_deadline=by_scope):
        deadline = stamp(Outgoing("t", b"x", propagate_deadline=by_call))
        assert deadline == (scope.deadline() if travels else None)
        assert bool(insists(by_call)) == travels


async def test_a_scope_inside_says_as_the_one_around() -> None:
    async with scope(timeout=5, propagate_deadline=True), scope(timeout=3):
        assert stamp(Outgoing("t", b"x")) == scope.deadline()


def test_the_deadline_is_stamped_as_what_remains_and_a_delay_is_added() -> None:
    assert deadline_header(100.0, 98.5, Outgoing("t", b"x")) == "1500"
    assert deadline_header(100.0, 98.5, Outgoing("t", b"x", delay=10)) == "11500"
    assert deadline_header(100.0, 101, Outgoing("t", b"x")) == "0"


def test_the_receiver_adds_it_to_the_timestamp_of_nsqd() -> None:
    got = read({"deadline-ms": "1500", "value-tenant": "acme", "x": "y"}, 1_000_000_000_000, tolerance=0.25)
    assert got == Received({"tenant": "acme"}, 1001.75)
    assert not got.expired(1001.7)
    assert got.expired(1001.8)


@pytest.mark.parametrize("text", ["", "x", "-1", "1.5", "1e3", "٣", "9" * 14, "9" * 5000])
def test_a_deadline_that_is_no_number_is_none(text: str) -> None:
    assert read({"deadline-ms": text}, 0).expires_at is None


@given(st.text())
def test_any_text_is_a_deadline_or_none(text: str) -> None:
    read({"deadline-ms": text}, 0)


def test_a_message_without_a_deadline_never_expires() -> None:
    assert not read({}, 0).expired(1e18)


async def test_the_received_scope_has_what_the_sender_had_and_nothing_else() -> None:
    loop = asyncio.get_running_loop()
    received = Received({"tenant": "acme"}, 1010.0).scope(loop.time(), 1000.0)
    async with scope(user="mine", timeout=1), scope.detached(values=False), received:
        assert scope.get("tenant") == "acme"
        assert scope.get("user") is None
        remaining = scope.remaining()
        assert remaining is not None
        assert 9 < remaining <= 10
        outgoing = Outgoing("t", b"x")
        assert stamp(outgoing) == scope.deadline()
        assert outgoing.headers == {"value-tenant": "acme"}


async def test_what_was_received_is_not_insisted_upon_but_what_is_added_is() -> None:
    loop = asyncio.get_running_loop()
    async with Received({"tenant": "acme"}, 1010.0).scope(loop.time(), 1000.0):
        assert insists(None) == ""
        async with scope(user="u"):
            assert "user" in insists(None)
            async with scope.detached(values=False):
                assert insists(None) == ""
            async with scope.detached():
                assert "user" in insists(None)


async def test_the_received_deadline_is_enforced() -> None:
    loop = asyncio.get_running_loop()
    with pytest.raises(DeadlineExceeded):
        async with Received({}, 1000.01).scope(loop.time(), 1000.0):
            await asyncio.Event().wait()


async def test_the_context_of_a_handler_has_its_messages_scope_and_no_other() -> None:
    async with scope(user="mine", timeout=60):
        context = handling_context(Received({"tenant": "acme"}), 5.0)
        assert context.run(scope.get, "tenant") == "acme"
        assert context.run(scope.get, "user") is None
        assert context.run(scope.deadline) == 5.0
        assert handling_context().run(scope.deadline) is None
        assert scope.get("user") == "mine"
