"""An archive at work, on a nsqd whose messages the test sends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from nsqclient import Consumer
from nsqclient.tools.to_file.settings import Settings
from nsqclient.tools.to_file.topic_files import TopicArchive
from tests.nsqclient.consumers import OPENING, make
from tests.support.fake_nsqd import FakeNsqd


@asynccontextmanager
async def archiving(
    nsqd: FakeNsqd, folder: Path, **more: object
) -> AsyncIterator[tuple[Consumer, TopicArchive, asyncio.Task[None]]]:
    """An archive at work; it is cancelled at the end, if it still runs."""
    count = more.setdefault("max_in_flight", 4)
    more.setdefault("filename_format", "<TOPIC><REV>.log")
    settings = Settings(output_dir=str(folder), **more)  # type: ignore[arg-type]
    async with make(nsqd.address, max_in_flight=count) as consumer:
        archive = TopicArchive(consumer, settings)
        running = asyncio.create_task(archive.run())
        await nsqd.expect(*OPENING, f"RDY {count}")
        try:
            yield consumer, archive, running
        finally:
            running.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await running
