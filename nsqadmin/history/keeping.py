"""The past over restarts: a stream of msgpack objects in one file, replaced as a whole.

First a map that says what the file is, then for each series
``[kind, name, channel, [[step, last slot, values], ...]]`` with the values of a ring, oldest first, as
little-endian 32-bit floats compressed by zlib, and at last the number of series. What is damaged is put aside.
"""

from __future__ import annotations

import asyncio
import logging
import os
import stat
import time
import zlib
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import msgpack

from nsqadmin.history.ring import METRICS, Kept, Past
from nsqadmin.history.series import Key

log = logging.getLogger(__name__)

FILE = "history.msgpack"
_DAMAGED = FILE + ".damaged"
_NEW = FILE + ".new"
_HEAD = {"format": "nsqadmin history", "version": 1, "metrics": [metric.value for metric in METRICS]}
_EVERY_S = 60.0
_AT_ONCE = 50
"""Series copied before the loop goes on."""
_LONGEST = 16 << 20
"""Bytes of one ring: a year of minutes."""
_BAD = (msgpack.UnpackException, msgpack.ExtraData, ValueError, TypeError, OverflowError, zlib.error)
"""What reading something else than we wrote may raise."""


class Keeper:
    """Keeps ``past`` in ``folder``: :meth:`load` once, then :meth:`start`, at the end :meth:`stop`."""

    def __init__(self, past: Past, folder: Path, *, every: float = _EVERY_S) -> None:
        self.past = past
        self.path = folder / FILE
        self._every = every
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._failing = False

    async def load(self) -> None:
        """Takes in what the file has; never raises for what may be in it."""
        await asyncio.to_thread(self._load)

    def start(self) -> None:
        """Writes now and then from now on."""
        self._task = asyncio.create_task(self._run(), name="history-keeper")

    async def stop(self) -> None:
        """Writes for the last time, if it was started; twice is fine."""
        self._stopping.set()
        task, self._task = self._task, None
        if task is not None:
            await task

    async def _run(self) -> None:
        stopping = False
        while not stopping:
            try:
                stopping = await asyncio.wait_for(self._stopping.wait(), self._every)
            except TimeoutError:
                pass
            await self.save()

    async def save(self) -> None:
        """Writes all series, in a thread; a failure is told once and the next call tries anew."""
        try:
            await self._write()
        except OSError as e:
            if not self._failing:
                log.error(
                    "HISTORY: can't keep it in %s: %s; it goes on in memory", self.path, e.strerror or e
                )
            self._failing = True
        else:
            if self._failing:
                log.info("HISTORY: is kept in %s again", self.path)
            self._failing = False

    async def _write(self) -> None:
        new = self.path.with_name(_NEW)
        file = await asyncio.to_thread(new.open, "wb")
        try:
            keys = self.past.keys()
            await asyncio.to_thread(_put, file, _HEAD | {"saved": int(time.time())})
            written = 0
            for start in range(0, len(keys), _AT_ONCE):
                some = keys[start : start + _AT_ONCE]
                found = [(key, kept) for key in some if (kept := self.past.kept(key))]
                written += len(found)
                await asyncio.to_thread(_put_series, file, found)
            await asyncio.to_thread(_put, file, written)
            await asyncio.to_thread(_settle, file)
        finally:
            try:
                await asyncio.to_thread(file.close)
            except OSError:
                pass  # the write that failed has been told already
        await asyncio.to_thread(new.replace, self.path)

    def _load(self) -> None:
        now = time.time()
        count = 0
        try:
            if not stat.S_ISREG(self.path.stat().st_mode):
                raise ValueError("it is no regular file")
            with self.path.open("rb") as file:
                for key, kept in read(file):
                    self.past.restore(key, kept, now)
                    count += 1
        except FileNotFoundError:
            return
        except (OSError, *_BAD) as e:
            log.error(
                "HISTORY: %s can't be read beyond %d series: %s; it is put aside as %s",
                self.path,
                count,
                str(e) or type(e).__name__,
                _DAMAGED,
            )
            try:
                self.path.replace(self.path.with_name(_DAMAGED))
            except OSError as failure:
                log.error("HISTORY: can't put %s aside: %s", self.path, failure.strerror)
        else:
            log.info("HISTORY: read %d series from %s", count, self.path)


def read(file: BinaryIO) -> Iterator[tuple[Key, list[Kept]]]:
    """The series of a file; raises one of the usual errors of a parser where it is not as we write it."""
    unpacker = msgpack.Unpacker(
        file,
        max_str_len=4096,
        max_bin_len=_LONGEST,
        max_array_len=64,
        max_map_len=64,
        max_ext_len=0,
        max_buffer_size=2 * _LONGEST,
    )
    try:
        head = unpacker.unpack()
        if not isinstance(head, dict) or head.get("format") != _HEAD["format"]:
            raise ValueError("it is no history")
        if any(head.get(name) != value for name, value in _HEAD.items()):
            raise ValueError(
                f"it is of version {head.get('version')!r}, with other figures or from elsewhere"
            )
        count = 0
        while isinstance(item := unpacker.unpack(), list):
            yield _series(item)
            count += 1
        if item != count:
            raise ValueError(f"it ends after {count} series with {item!r}")
    except msgpack.OutOfData:
        raise ValueError("it ends in the middle") from None


def _series(item: list[Any]) -> tuple[Key, list[Kept]]:
    kind, name, channel, rings = item
    if not (isinstance(kind, str) and isinstance(name, str) and isinstance(channel, str)):
        raise ValueError("a series has no name")
    return Key(kind, name, channel), [_ring(*ring) for ring in rings]


def _ring(step: object, last: object, packed: object) -> Kept:
    if not (isinstance(step, float) and isinstance(last, int) and isinstance(packed, bytes)):
        raise ValueError("a series is no series")
    opener = zlib.decompressobj()
    data = opener.decompress(packed, _LONGEST)
    if not opener.eof or len(data) % (4 * len(METRICS)):
        raise ValueError("the values of a series are damaged")
    values = array("f", data)
    if _BIG_ENDIAN:
        values.byteswap()
    return Kept(step, last, values)


_BIG_ENDIAN = array("h", b"\0\1")[0] == 1


def _put(file: BinaryIO, item: object) -> None:
    file.write(msgpack.packb(item))


def _put_series(file: BinaryIO, found: list[tuple[Key, list[Kept]]]) -> None:
    for key, kept in found:
        rings = []
        for ring in kept:
            values = ring.values
            if _BIG_ENDIAN:
                values.byteswap()
            rings.append([ring.step, ring.last, zlib.compress(values, 1)])
        _put(file, [*key, rings])


def _settle(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())
