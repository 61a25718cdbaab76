"""Ending connections: behind what was written, but not for the sake of a peer that takes none of it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from nsqcore import last_words
from nsqcore.last_words import close_behind, close_gently
from tests.support.layered import Socket
from tests.support.nsqd import eventually

End = Callable[[Socket], None]
both = pytest.mark.parametrize("end", [close_behind, close_gently])


class Slow(Socket):
    """Takes ``step`` bytes between two looks at how much is left, and counts the looks."""

    def __init__(self, unsent: int, step: int) -> None:
        super().__init__()
        self.unsent, self.step, self.looks = unsent, step, 0

    def get_write_buffer_size(self) -> int:
        self.looks += 1
        self.unsent = max(0, self.unsent - self.step)
        return self.unsent


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(last_words, "LINGER_S", 0.001)
    monkeypatch.setattr(last_words, "STALLED_S", 0.001)


@both
async def test_a_peer_that_takes_nothing_is_cut_off(end: End) -> None:
    socket = Slow(1000, 0)
    end(socket)
    assert not socket.aborted
    await eventually(lambda: socket.aborted)
    assert socket.looks <= 4


@both
async def test_a_peer_that_takes_its_time_is_not(end: End) -> None:
    socket = Slow(1000, 10)
    end(socket)
    await eventually(lambda: socket.aborted)
    assert socket.unsent == 0
    assert socket.looks > 50


async def test_with_nothing_left_to_send_closing_is_all_there_is_to_do() -> None:
    socket = Slow(0, 0)
    close_behind(socket)
    assert socket.is_closed()
    assert socket.looks == 1


async def test_the_other_side_gets_a_moment_to_end_its_own() -> None:
    socket = Slow(0, 0)
    close_gently(socket)
    assert socket.eof
    assert not socket.is_closed()
    await eventually(lambda: socket.aborted)


async def test_what_is_closing_is_left_alone() -> None:
    socket = Slow(10, 0)
    socket.close()
    close_gently(socket)
    assert socket.looks == 0
    assert not socket.eof
