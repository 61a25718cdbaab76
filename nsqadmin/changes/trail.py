"""What was done and tried, newest last: so many entries in memory, and in a file when there is a folder for it.

The file has a JSON object on each line and is only appended to. When it is full it becomes ``NAME.1.jsonl``, in place of
the one before, so the two together are bounded. Lines that can't be read, as a crash leaves them, are passed
over; they cost nothing but themselves.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

log = logging.getLogger(__name__)

LARGEST_FILE = 4 << 20
"""Bytes, after which a new file begins."""
_MOST_UNWRITTEN = 1000


@dataclass(frozen=True, slots=True)
class Did:
    """What became of a change at one daemon."""

    daemon: str
    """``nsqd HOST:PORT``."""
    text: str
    failed: bool = False


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that somebody did or tried."""

    at: float
    """Unix seconds."""
    action: str
    """``delete channel``, ``publish``, ``log in``."""
    result: str
    """``done``, ``partly done``, ``not done``, ``refused``."""
    user: str = ""
    """Empty where nobody knows."""
    remote: str = ""
    """``host:port`` of the connection, which may be a proxy's."""
    topic: str = ""
    channel: str = ""
    node: str = ""
    detail: str = ""
    """More in words: how many messages, why it was refused."""
    steps: tuple[Did, ...] = ()


class Trail:
    """At most ``most`` entries; ``file`` keeps them over restarts. Made inside a running loop."""

    def __init__(self, most: int, file: Path | None = None, *, largest: int = LARGEST_FILE) -> None:
        self._entries: deque[Entry] = deque(maxlen=most)
        self._file = file
        self._largest = largest
        self._unwritten: deque[bytes] = deque()
        self._writer: asyncio.Task[None] | None = None
        self._failing = False

    def __iter__(self) -> Iterator[Entry]:
        """Newest first."""
        return reversed(tuple(self._entries))

    async def start(self) -> None:
        """Reads what the files have."""
        if self._file is None:
            return
        old = self._file.with_suffix(".1.jsonl")
        found, broken = await asyncio.to_thread(_read, (old, self._file), self._entries.maxlen or 0)
        self._entries.extend(found)
        if broken:
            log.warning("AUDIT: %d lines of %s make no sense and are passed over", broken, self._file)

    def add(self, entry: Entry) -> None:
        """Keeps an entry; it is written soon."""
        self._entries.append(entry)
        if self._file is None:
            return
        import msgspec  # late, as below: only for who keeps a file

        self._unwritten.append(msgspec.json.encode(entry) + b"\n")
        if len(self._unwritten) > _MOST_UNWRITTEN:
            self._unwritten.popleft()
        if self._writer is None:
            self._writer = asyncio.get_running_loop().create_task(self._write(), name="audit trail")

    async def stop(self) -> None:
        """Writes what is left."""
        if self._writer is not None:
            with suppress(asyncio.CancelledError):
                await self._writer

    async def _write(self) -> None:
        try:
            while self._unwritten:
                lines = tuple(self._unwritten)
                self._unwritten.clear()
                await self._append(b"".join(lines), len(lines))
        finally:
            self._writer = None

    async def _append(self, data: bytes, count: int) -> None:
        assert self._file is not None, "only a trail with a file writes"
        try:
            await asyncio.to_thread(_append, self._file, data, self._largest)
        except OSError as e:
            if not self._failing:
                log.error("AUDIT: %d lines are not kept in %s - %s", count, self._file, e)
            self._failing = True
        else:
            self._failing = False


def _append(file: Path, data: bytes, largest: int) -> None:
    torn = False
    with suppress(FileNotFoundError):
        size = file.stat().st_size
        if size and size + len(data) > largest:
            file.replace(file.with_suffix(".1.jsonl"))
        elif size:
            with file.open("rb") as end:
                end.seek(-1, 2)
                torn = end.read(1) != b"\n"
    # A line that a crash has cut must not take the next one with it.
    with open(file, "ab", opener=_private) as out:
        out.write(b"\n" + data if torn else data)


def _private(path: str, flags: int) -> int:
    """Opens a file that others on this machine can't read: it names users and addresses."""
    return os.open(path, flags, 0o600)


def _read(files: Iterable[Path], most: int) -> tuple[list[Entry], int]:
    """The newest entries, oldest first, and how many lines are broken."""
    import msgspec

    found: deque[Entry] = deque(maxlen=most)
    broken = 0
    decoder = msgspec.json.Decoder(Entry)
    for file in files:
        try:
            data = file.read_bytes()
        except FileNotFoundError:
            continue
        except OSError as e:
            log.error("AUDIT: can't read %s - %s", file, e)
            continue
        for line in data.split(b"\n"):
            if not line:
                continue
            try:
                found.append(decoder.decode(line))
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                broken += 1
    return list(found), broken
