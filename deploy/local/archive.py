"""The files that the ``archive`` consumer writes: delivered records one after another, as msgpack."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import msgpack

from deploy.local.ledger import Ledger

_ROLL_AT = 32 << 20


class Archive:
    """Appends to ``records-0001.msgpack``, ``-0002`` and so on in a folder; for ``with``."""

    def __init__(self, folder: Path, *, roll_at: int = _ROLL_AT) -> None:
        """A file that has ``roll_at`` bytes is the last one's predecessor."""
        self._folder, self._roll_at = folder, roll_at
        self._number = self._size = 0
        self._file: BinaryIO | None = None

    def __enter__(self) -> Self:
        self._folder.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file:
            self._file.close()

    def write(self, bodies: Iterable[bytes]) -> None:
        """Hands the records to the operating system; raises OSError, and then the messages must come again."""
        if self._file is None or self._size >= self._roll_at:
            self._roll()
        assert self._file is not None
        data = b"".join(bodies)
        self._file.write(data)
        self._file.flush()
        self._size += len(data)

    def _roll(self) -> None:
        if self._file:
            self._file.close()
        self._number += 1
        self._size = 0
        self._file = open(self._folder / f"records-{self._number:04}.msgpack", "xb")  # noqa: SIM115


def read(folder: Path) -> Ledger:
    """What the files of an archive hold, counted by (file, line)."""
    ledger = Ledger()
    for path in sorted(folder.glob("records-*.msgpack")):
        with open(path, "rb") as file:
            for record in msgpack.Unpacker(file):
                ledger.add(record["file"], record["line"])
    return ledger
