"""Writing in a thread."""

from __future__ import annotations

import asyncio
import errno
import os

from nsqclient.tools.tail.output import PIECE, Output
from tests.nsqclient.tools.pipes import pipe


async def test_what_is_written_comes_in_its_order() -> None:
    with pipe() as (out, into):
        output = Output(into.fileno())
        counts = await asyncio.gather(output.write(b"one"), output.write(b"two"), output.write(b""))
        assert list(counts) == [3, 3, 0]
        assert out.read(100) == b"onetwo"
        output.close()


async def test_a_slow_reader_holds_only_the_write_up() -> None:
    with pipe() as (out, into):
        output = Output(into.fileno())
        writing = asyncio.create_task(output.write(b"x" * (4 * PIECE)))
        await asyncio.sleep(0)
        read = 0
        while read < 4 * PIECE:
            assert not writing.done() or read >= 2 * PIECE
            read += len(await asyncio.to_thread(out.read, PIECE) or b"")
        assert await writing == 4 * PIECE
        output.close()


async def test_a_reader_that_stands_still_can_be_given_up() -> None:
    with pipe() as (out, into):
        output = Output(into.fileno())
        writing = asyncio.create_task(output.write(b"x" * (8 * PIECE)))
        await asyncio.to_thread(out.read, 10)  # the thread has begun
        output.abandon()
        assert await writing < 8 * PIECE
        assert await output.write(b"more") == 0
        assert output.error is None
        out.close()  # which ends the write
        output.close()


async def test_a_reader_that_has_gone_is_told() -> None:
    with pipe() as (out, into):
        out.close()
        output = Output(into.fileno())
        assert await output.write(b"x") == 0
        assert isinstance(output.error, BrokenPipeError)
        assert await output.write(b"y") == 0
        output.close()


async def test_a_full_disk_is_told() -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    try:
        output = Output(full)
        assert await output.write(b"x") == 0
        assert output.error is not None
        assert output.error.errno == errno.ENOSPC
        output.close()
    finally:
        os.close(full)
