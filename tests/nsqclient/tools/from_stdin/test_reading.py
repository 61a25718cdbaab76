"""Reading ahead, in a thread."""

from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path

import pytest

from nsqclient.tools.from_stdin.reading import Reader
from tests.nsqclient.tools.pipes import pipe


async def test_what_comes_is_there_at_once_and_the_end_as_well() -> None:
    with pipe() as (out, into), Reader(out.fileno()) as reader:
        into.write(b"one")
        assert await reader.take() == b"one"
        into.write(b"two")
        assert await reader.take() == b"two"
        into.close()
        assert await reader.take() == b""
        assert await reader.take() == b""


async def test_what_came_meanwhile_is_taken_together(tmp_path: Path) -> None:
    file = tmp_path / "input"
    file.write_bytes(b"x" * 5000)
    with file.open("rb") as opened, Reader(opened.fileno(), chunk=1000) as reader:
        taken = b""
        while part := await reader.take():
            taken += part
        assert taken == b"x" * 5000


async def test_no_more_is_read_than_may_be_ahead() -> None:
    with pipe() as (out, into), Reader(out.fileno(), chunk=10, ahead=20) as reader:
        into.write(b"x" * 100)
        first = await reader.take()
        into.write(b"y" * 100)
        rest = b""
        while len(rest) + len(first) < 200:
            part = await reader.take()
            assert len(part) <= 20
            rest += part


async def test_a_stop_leaves_in_the_pipe_what_was_not_read() -> None:
    with pipe() as (out, into), Reader(out.fileno()) as reader:
        into.write(b"read")
        assert await reader.take() == b"read"
        reader.stop()
        into.write(b"left")
        assert await reader.take() == b""
        assert reader.stopped
        assert out.read(100) == b"left"


async def test_no_thread_is_left_though_nothing_ever_comes() -> None:
    before = threading.active_count()
    with pipe() as (out, _), Reader(out.fileno()):
        await asyncio.sleep(0)
    assert threading.active_count() == before


async def test_what_can_not_be_read_raises_after_what_could(tmp_path: Path) -> None:
    folder = os.open(tmp_path, os.O_RDONLY)
    try:
        with Reader(folder) as reader, pytest.raises(IsADirectoryError):
            await reader.take()
    finally:
        os.close(folder)
