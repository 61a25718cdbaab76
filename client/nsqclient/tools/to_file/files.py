"""The files of one topic, one after the other: opened, rotated, synced and moved by one thread."""

from __future__ import annotations

import errno
import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from nsqclient.tools.to_file.failures import ArchiveFailed, reason
from nsqclient.tools.to_file.folders import StillWritten, make_folder_of, move
from nsqclient.tools.to_file.leftovers import find, newest, repair
from nsqclient.tools.to_file.naming import FileNames
from nsqclient.tools.to_file.segment import Gone, Segment, lines_of
from nsqclient.tools.to_file.settings import Settings
from nsqcore.durations import go_duration

log = logging.getLogger(__name__)

_NO_LOOK = (errno.EACCES, errno.EPERM, errno.EBADF, errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
"""How a system says that a file is not for us to read, or that it can't tell whether others write to it."""


def local_time() -> datetime:
    """Now, with the time zone of this host."""
    return datetime.now().astimezone()


class TopicFiles:
    """Where the records of a topic go.

    All of it blocks, and raises ArchiveFailed when the disk does not do what it should: nothing written since the
    last sync is known to be there then.
    """

    def __init__(
        self,
        topic: str,
        channel: str,
        settings: Settings,
        *,
        now: Callable[[], datetime] = local_time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``now`` is for names, ``clock`` for the age of files. Raises ConfigError where ``<REV>`` is missing."""
        self._settings = settings
        self._names = FileNames(topic, settings)
        self._folder = Path(settings.folder)
        self._output = Path(settings.output_dir)
        self._where = f"[{topic}/{channel}]"
        self._now = now
        self._clock = clock
        self._segment: Segment | None = None
        self._name = ""
        """The name of the last file, without its revision."""
        self._revision = 0
        self._file = ""
        """The name of the last file, relative to its folder."""
        self._opened_at = 0.0

    # ---- what is asked for

    def recover(self) -> None:
        """Sees to the files that a crash left: they hold whole records only, and lie where finished files do."""
        settings = self._settings
        folder = self._folder
        with self._failing("recovering files in", folder):
            names = find(folder, self._names) if settings.separate_work_dir else newest(folder, self._names)
            for name in list(names):
                self._recover(folder / name, name)

    def write(self, bodies: Sequence[bytes]) -> None:
        """Adds records; files change where they should."""
        reason = self._must_rotate()
        segment = self._rotate(reason) if reason is not None else self._open_one()
        limit = self._settings.rotate_size
        if limit:
            segment, bodies = self._fill(segment, bodies, limit)
        if bodies:
            self._write(segment, lines_of(bodies))

    def tick(self) -> None:
        """Looks whether it is time for another file."""
        why = self._must_rotate()
        if why is None:
            return
        if self._settings.skip_empty_files:
            self.close()
        else:
            self._rotate(why)

    def sync(self) -> None:
        """Everything written is safe when this returns."""
        segment = self._segment
        if segment is None:
            return
        with self._failing("failed to fsync output file: sync", segment.path):
            try:
                segment.sync()
            except Gone as gone:
                self._write_again(gone)
                return
            taken = segment.moved()
        if taken:
            log.warning("%s %s was moved by somebody else, opening another", self._where, segment.path)
            self._segment = None
            segment.abandon()

    def close(self) -> None:
        """Ends the file, if one is open: all of it is safe, and where finished files lie."""
        segment = self._segment
        if segment is None:
            return
        with self._failing("failed to fsync output file: sync", segment.path):
            try:
                segment.close()
            except Gone as gone:
                self._write_again(gone)
                self.close()
                return
        self._segment = None
        if self._settings.separate_work_dir:
            self._finish(segment.path, self._file)

    def abandon(self) -> None:
        """Lets the file be, after a failure; the next start sees to it."""
        if self._segment is not None:
            self._segment.abandon()
            self._segment = None

    # ---- rotation

    def _must_rotate(self) -> str | None:
        """Why another file is due; empty when none is open, None when this one still does."""
        segment, settings = self._segment, self._settings
        if segment is None:
            return ""
        name = self._names.at(self._now())
        if name != self._name:
            return f"new filename {name}, rotating..."
        age = self._clock() - self._opened_at
        if settings.rotate_interval and age > settings.rotate_interval:
            return f"{go_duration(int(age * 1e9))} since last open, rotating..."
        if settings.rotate_size and segment.bytes > settings.rotate_size:
            return self._too_large(segment)
        return None

    def _too_large(self, segment: Segment) -> str:
        return f"{segment.path} currently {segment.bytes} bytes (> {self._settings.rotate_size}), rotating..."

    def _rotate(self, why: str) -> Segment:
        if why:
            log.info("%s %s", self._where, why)
        self.close()
        return self._open()

    def _open_one(self) -> Segment:
        return self._segment or self._open()

    def _fill(self, segment: Segment, bodies: Sequence[bytes], limit: int) -> tuple[Segment, Sequence[bytes]]:
        """Writes what makes files exceed the limit; returns the file for the rest, and the rest."""
        start, room = 0, limit - segment.bytes
        for place, body in enumerate(bodies):
            if room < 0:
                self._write(segment, lines_of(bodies[start:place]))
                segment = self._rotate(self._too_large(segment))
                start, room = place, limit - segment.bytes
            room -= len(body) + 1
        return segment, bodies[start:] if start else bodies

    # ---- files

    def _open(self) -> Segment:
        name = self._names.at(self._now())
        self._revision = 0 if name != self._name else self._revision + 1
        self._name, self._opened_at = name, self._clock()
        while True:
            self._file = self._names.with_revision(name, self._revision)
            path = self._folder / self._file
            segment = self._try_to_open(path)
            if segment is not None:
                break
            self._revision += 1
        self._segment = segment
        return segment

    def _try_to_open(self, path: Path) -> Segment | None:
        """The file, unless the name is taken or the file is too large."""
        settings = self._settings
        with self._failing("unable to open", path):
            if settings.separate_work_dir:
                target = self._output / self._file
                make_folder_of(target)
                if os.path.lexists(target):
                    log.warning("%s output file already exists: %s", self._where, target)
                    return None
            make_folder_of(path)
            if not settings.exclusive and os.path.lexists(path):
                self._repair(path)
            try:
                segment = Segment(
                    path,
                    exclusive=settings.exclusive,
                    gzip_level=settings.gzip_level if settings.gzip else 0,
                )
            except FileExistsError:
                log.warning("%s working file already exists: %s", self._where, path)
                return None
        log.info("%s opening %s", self._where, path)
        if settings.rotate_size and segment.bytes > settings.rotate_size:
            log.info("%s %s", self._where, self._too_large(segment))
            segment.abandon()
            return None
        return segment

    def _write(self, segment: Segment, lines: bytes) -> None:
        with self._failing("writing message to disk: write", segment.path):
            segment.write(lines)

    def _write_again(self, gone: Gone) -> None:
        """Somebody deleted the file: what was not synced before goes to another, and is synced there."""
        segment = self._segment
        assert segment is not None
        log.warning(
            "%s %s was deleted or cut by somebody else, writing what is new again", self._where, segment.path
        )
        segment.abandon()
        self._segment = None
        again = self._open()
        self._write(again, b"".join(gone.lines))
        try:
            again.sync()
        except Gone as e:
            raise ArchiveFailed(
                f"{self._where} {again.path}: files are deleted while they are written"
            ) from e

    def _finish(self, path: Path, name: str) -> None:
        """Moves a complete file to the others, under a name that is free."""
        target = self._output / name
        log.info("%s moving finished file %s to %s", self._where, path, target)
        wanted = target
        while True:
            with self._failing(f"unable to move file from {path} to", target):
                try:
                    move(path, target)
                except FileExistsError:
                    if target == wanted:
                        log.warning("%s destination file already exists: %s", self._where, target)
                    name = self._names.next_revision(name)
                    target = self._output / name
                    continue
                except StillWritten:
                    log.warning("%s %s is written to by others, leaving it to them", self._where, path)
                    return
                except FileNotFoundError:
                    if os.path.lexists(path):
                        raise
                    log.warning("%s %s was moved by somebody else", self._where, path)
                    return
            break
        if target != wanted:
            log.info("%s renamed finished file %s to %s to avoid overwrite", self._where, path, target)

    # ---- what crashes left

    def _recover(self, path: Path, name: str) -> None:
        settings = self._settings
        if not self._repair(path) or not settings.separate_work_dir:
            return
        if settings.skip_empty_files and not settings.gzip and not path.stat().st_size:
            path.unlink()
            return
        self._finish(path, name)

    def _repair(self, path: Path) -> bool:
        """Whether the file is whole now, and nobody's."""
        settings = self._settings
        try:
            done = repair(path, gzip=settings.gzip, marked_only=not settings.separate_work_dir)
        except FileNotFoundError:
            return False  # somebody was quicker
        except OSError as e:
            if e.errno not in _NO_LOOK:
                raise
            log.warning("%s can't look into %s: %s", self._where, path, reason(e))
            return False
        if done is None:
            return False
        if done.damaged:
            log.warning(
                "%s %s is damaged from byte %d on, and more records follow: leaving it as it is",
                self._where,
                path,
                done.end,
            )
        elif done.kept is not None:
            log.warning(
                "%s cut %d bytes that are no whole record off the end of %s, and kept them in %s",
                self._where,
                done.cut,
                path,
                done.kept,
            )
        elif done.cut:
            log.warning("%s cut %d bytes of a torn record off the end of %s", self._where, done.cut, path)
        return not done.damaged

    @contextmanager
    def _failing(self, what: str, path: Path) -> Iterator[None]:
        try:
            yield
        except OSError as e:
            raise ArchiveFailed(f"{self._where} {what} {path}: {reason(e)}") from e
