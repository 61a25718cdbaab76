"""Answers in order, whatever waits for the disk; long work; the end. No socket in here."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Generator
from pathlib import Path

import pytest

from nsqcore.wire.frames import ERROR, RESPONSE, FrameDecoder
from nsqd.broker import Broker
from nsqd.client import Client, State
from nsqd.errors import FatalError, ProtocolError
from nsqd.in_flight import InFlight
from nsqd.options import Options
from nsqd.protocol.identify import default_settings
from nsqd.protocol.session import Session
from nsqd.storage.ticket import Ticket

FULL = OSError(errno.ENOSPC, "No space left on device", "/data/t.dat")


class Rig:
    """A session whose output is a list, and what it told its connection."""

    def __init__(self, folder: Path) -> None:
        self.writes: list[bytes] = []
        self.changes: list[tuple[bool, bool]] = []
        self.broker = Broker(Options(data_path=str(folder)))
        self.client = Client(
            settings=default_settings(self.broker.options, "h"),
            write=self.writes.append,
            write_all=self.writes.extend,
            close=lambda: None,
            remote_address="h:1",
            in_flight=InFlight(60.0, 900.0),
        )
        self.session = Session(self.broker, self.client, output=self.writes.append, changed=self._changed)

    def _changed(self) -> None:
        self.changes.append((self.session.suspended, self.session.over))

    def settled(self) -> bool:
        """Whether every answer was sent."""
        return self.session.settled

    def said(self) -> list[tuple[int, bytes]]:
        """All frames that were sent; the list begins anew."""
        frames = FrameDecoder().feed(b"".join(self.writes))
        self.writes.clear()
        return frames


@pytest.fixture
async def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path)


OK = (RESPONSE, b"OK")


# -- answers ---------------------------------------------------------------------------------------


async def test_the_answers_of_one_read_leave_in_one_write(rig: Rig) -> None:
    session = rig.session
    session.answer(b"one")
    session.answer_publish(None, "PUB", 2)
    session.refuse(ProtocolError("E_FIN_FAILED", "FIN failed"))
    assert rig.writes == []
    assert not rig.settled()
    session.flush()
    session.flush()
    assert len(rig.writes) == 1
    assert rig.said() == [(RESPONSE, b"one"), OK, OK, (ERROR, b"E_FIN_FAILED FIN failed")]
    assert rig.settled()
    assert not session.over


async def test_an_ok_waits_for_its_ticket_and_holds_back_what_is_behind_it(rig: Rig) -> None:
    session, ticket = rig.session, Ticket()
    stored = ticket.wait_for()
    session.answer(b"before")
    session.answer_publish(ticket, "MPUB")
    session.answer(b"behind")
    session.answer_publish(None, "PUB")
    session.refuse(ProtocolError("E_REQ_FAILED", "REQ failed"))
    session.flush()
    assert rig.said() == [(RESPONSE, b"before")]
    assert not rig.settled()
    stored(None)
    assert len(rig.writes) == 1
    assert rig.said() == [OK, (RESPONSE, b"behind"), OK, (ERROR, b"E_REQ_FAILED REQ failed")]
    assert rig.settled()
    assert rig.changes == [(False, False)], "the connection may wait for it"


async def test_tickets_that_are_done_in_another_order_are_answered_in_theirs(rig: Rig) -> None:
    session, first, second = rig.session, Ticket(), Ticket()
    first_stored, second_stored = first.wait_for(), second.wait_for()
    session.answer_publish(first, "PUB", 3)
    session.answer(b"between")
    session.answer_publish(second, "PUB")
    second_stored(None)
    assert rig.said() == []
    first_stored(None)
    assert rig.said() == [OK, OK, OK, (RESPONSE, b"between"), OK]


async def test_a_ticket_that_is_done_already_does_not_hold_anything_back(rig: Rig) -> None:
    ticket = Ticket()
    ticket.wait_for()(None)
    rig.session.answer_publish(ticket, "PUB")
    rig.session.answer(b"behind")
    rig.session.flush()
    assert rig.said() == [OK, (RESPONSE, b"behind")]


async def test_a_failed_write_is_told_in_its_turn_and_is_the_last_word(rig: Rig) -> None:
    session, first, second = rig.session, Ticket(), Ticket()
    first_stored, second_stored = first.wait_for(), second.wait_for()
    session.answer_publish(None, "PUB")
    session.answer_publish(first, "MPUB", 1)
    session.answer_publish(second, "PUB", 5)
    session.answer(b"behind")
    session.flush()
    assert rig.said() == [OK]
    first_stored(FULL)
    assert rig.said() == [(ERROR, b"E_MPUB_FAILED MPUB failed open /data/t.dat: no space left on device")]
    assert session.over
    assert rig.settled()
    assert rig.changes[-1] == (False, True)
    second_stored(None)
    assert rig.said() == []


async def test_a_fatal_error_ends_the_commands_and_is_still_sent_in_its_turn(rig: Rig) -> None:
    session, ticket = rig.session, Ticket()
    stored = ticket.wait_for()
    session.answer_publish(ticket, "PUB")
    session.refuse(FatalError("E_INVALID", "invalid command \udcff"))
    assert session.over
    assert rig.changes == [(False, True)]
    assert not rig.settled()
    stored(None)
    assert rig.said() == [OK, (ERROR, b"E_INVALID invalid command \xff")]


# -- long work -------------------------------------------------------------------------------------


async def turns(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_long_work_takes_a_turn_of_the_loop_for_each_slice(rig: Rig) -> None:
    done: list[int] = []

    def work() -> Generator[None, None, None]:
        for n in range(3):
            done.append(n)
            yield
        rig.session.answer(b"done")

    rig.session.go_on_later(work())
    seen = []
    for _ in range(4):
        seen.append((len(done), rig.session.suspended))
        await turns(1)
    assert seen == [(0, True), (1, True), (2, True), (3, True)]
    assert not rig.session.suspended
    assert rig.said() == [(RESPONSE, b"done")]
    assert rig.changes == [(False, False)]


@pytest.mark.parametrize(
    ("error", "over"),
    [(ProtocolError("E_FIN_FAILED", "no"), False), (FatalError("E_BAD_BODY", "no"), True)],
)
async def test_long_work_may_be_refused_in_the_end(rig: Rig, error: ProtocolError, over: bool) -> None:
    def work() -> Generator[None, None, None]:
        yield
        raise error

    rig.session.go_on_later(work())
    await turns()
    assert rig.said() == [(ERROR, error.wire)]
    assert (rig.session.suspended, rig.session.over) == (False, over)
    assert rig.changes[-1] == (False, over)


async def test_long_work_of_a_client_that_is_gone_is_not_gone_on_with(rig: Rig) -> None:
    done: list[int] = []

    def work() -> Generator[None, None, None]:
        while True:
            done.append(1)
            yield

    rig.session.go_on_later(work())
    await turns(2)
    before = len(done)
    rig.session.leave()
    await turns()
    assert len(done) == before
    assert rig.said() == []


# -- the end ---------------------------------------------------------------------------------------


async def test_leaving_gives_back_what_the_client_holds(rig: Rig) -> None:
    broker, session, client = rig.broker, rig.session, rig.client
    broker.load()
    topic = broker.topic(b"t")
    channel = broker.channel(topic, "c")
    session.channel, client.state, client.ready = channel, State.SUBSCRIBED, 1
    channel.add_client(client)
    channel.hungry(client)
    topic.put(broker.frames.many([b"one", b"two"]))
    await turns()
    assert (channel.in_flight_count, channel.depth) == (1, 1)
    session.leave()
    session.leave()
    assert (channel.in_flight_count, channel.depth, channel.clients) == (0, 2, [])
    assert session.over


async def test_what_the_disk_answers_behind_the_end_is_sent_to_nobody(rig: Rig) -> None:
    """The socket may be gone by then, and a write to it would be an error in the midst of the disk's work."""
    session, ticket = rig.session, Ticket()
    stored = ticket.wait_for()
    session.answer_publish(ticket, "PUB")
    session.leave()
    stored(None)
    assert rig.writes == []
    assert rig.settled()
