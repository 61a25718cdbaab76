"""The demo's input: every non-blank line of some files, as msgpack records ``{file, line, text}``."""

from __future__ import annotations

import os
import struct
import sysconfig
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import msgpack

MAX_RECORD = 1 << 20
"""Bytes of the largest record: nsqd's default ``--max-msg-size``."""
_MAX_LINE_NUMBER = (1 << 31) - 1
_PACKAGES = {"site-packages", "dist-packages"}  # installed beside the standard library, not part of it
_LENGTH = struct.Struct(">I")

pack = msgpack.Packer().pack


class BadInput(Exception):
    """The files to publish can't be found or read; the text names them."""


class BadRecord(Exception):
    """A message is not one of ours; somebody else may publish to the topic as well."""


@dataclass(frozen=True)
class Source:
    """One file to publish."""

    path: Path
    name: str
    """As its records call it: the path below the folder given, or the file's own name."""


@dataclass
class Survey:
    """What there is to publish, found out by reading it all once."""

    sources: list[Source] = field(default_factory=list)
    lines: int = 0
    """Records to publish."""
    left_out: list[str] = field(default_factory=list)
    """Why something is not published: lines too long for nsqd, files that can't be read."""

    def add(self, source: Source) -> None:
        """Reads one more file."""
        try:
            with open(source.path, "rb") as file:
                for number, raw in _lines(file):
                    if raw is not None and (len(raw) * 4 < MAX_RECORD or encode(source.name, number, raw)):
                        self.lines += 1
                    else:
                        self.left_out.append(f"{source.path}, line {number}: longer than nsqd takes")
        except OSError as e:
            self.left_out.append(f"{source.path}: {e.strerror or e}")
        else:
            self.sources.append(source)


@dataclass(frozen=True, slots=True)
class Batch:
    """One ``/mpub?binary=true`` request."""

    body: bytes
    keys: Sequence[tuple[str, int]]
    """(file, line) of each record in it."""


def standard_library() -> list[Source]:
    """The ``*.py`` of the running interpreter's standard library, without installed packages."""
    root = Path(sysconfig.get_path("stdlib"))
    return [source for source in _below(root) if source.path.suffix == ".py"]


def find(data: Path | None) -> list[Source]:
    """The files of ``data`` (a file, or a folder and all below it), or the standard library.

    Raises BadInput when there is none.
    """
    if data is None:
        sources = standard_library()
    elif data.is_dir():
        sources = _below(data)
    elif data.is_file():
        sources = [Source(data, _text(data.name))]
    else:
        raise BadInput(f"{data}: no such file or folder")
    if not sources:
        raise BadInput(f"{data or sysconfig.get_path('stdlib')}: no files in it")
    return sources


def _below(root: Path) -> list[Source]:
    found = []
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if name not in _PACKAGES)
        for name in sorted(files):
            path = Path(folder, name)
            if path.is_file():  # no sockets, pipes or broken links
                found.append(Source(path, _text(str(path.relative_to(root)))))
    return found


def _text(name: str) -> str:
    """A file name as text that every msgpack reader takes, still telling apart names that differ."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _lines(file: BinaryIO) -> Iterator[tuple[int, bytes | None]]:
    """Number, from 1, and bytes of each line that is not blank; None for one that is far too long."""
    number = 0
    while raw := file.readline(MAX_RECORD):
        number += 1
        if len(raw) == MAX_RECORD and not raw.endswith(b"\n"):
            while (rest := file.readline(MAX_RECORD)) and not rest.endswith(b"\n"):
                pass
            yield number, None
        elif not raw.isspace():
            yield number, raw


def encode(name: str, line: int, raw: bytes) -> bytes | None:
    """The record of one line, its line end cut off, undecodable bytes replaced; None if nsqd won't take it."""
    text = raw.rstrip(b"\r\n").decode("utf-8", "replace")
    body: bytes = pack({"file": name, "line": line, "text": text})
    return body if len(body) <= MAX_RECORD else None


def decode(body: bytes) -> tuple[str, int, str]:
    """File, line and text of a record; raises BadRecord for anything else."""
    try:
        record = msgpack.unpackb(body)
        file, line, text = record["file"], record["line"], record["text"]
    except (ValueError, TypeError, KeyError, msgpack.UnpackException) as e:
        raise BadRecord(f"not a record: {e!r}") from e
    if type(file) is not str or type(text) is not str or type(line) is not int:
        raise BadRecord(f"not a record: {record!r:.100}")
    if not 1 <= line <= _MAX_LINE_NUMBER:
        raise BadRecord(f"line {line} can't be")
    return file, line, text


def batches(sources: Sequence[Source], most: int, most_bytes: int) -> Iterator[Batch]:
    """All records in batches of up to ``most`` records and about ``most_bytes`` bytes.

    A source that has become unreadable since the survey raises BadInput.
    """
    parts: list[bytes] = []
    keys: list[tuple[str, int]] = []
    size = 0
    for source in sources:
        try:
            with open(source.path, "rb") as file:
                for number, raw in _lines(file):
                    body = None if raw is None else encode(source.name, number, raw)
                    if body is None:
                        continue
                    if keys and (len(keys) >= most or size + len(body) > most_bytes):
                        yield _batch(parts, keys)
                        parts, keys, size = [], [], 0
                    parts += (_LENGTH.pack(len(body)), body)
                    keys.append((source.name, number))
                    size += len(body) + 4
        except OSError as e:
            raise BadInput(f"{source.path}: {e.strerror or e}") from e
    if keys:
        yield _batch(parts, keys)


def _batch(parts: Sequence[bytes], keys: Sequence[tuple[str, int]]) -> Batch:
    return Batch(b"".join((_LENGTH.pack(len(keys)), *parts)), keys)
