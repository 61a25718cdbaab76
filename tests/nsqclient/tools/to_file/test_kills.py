"""The process ends at each single call to the system, and starts again: what was synced is there, in whole lines."""

from __future__ import annotations

import errno
import gzip
import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from nsqclient.tools.to_file import segment as segment_module
from nsqclient.tools.to_file.failures import ArchiveFailed
from nsqclient.tools.to_file.files import TopicFiles
from nsqclient.tools.to_file.settings import Settings

CALLS = (
    "open",
    "write",
    "pwrite",
    "fsync",
    "fdatasync",
    "link",
    "unlink",
    "mkdir",
    "ftruncate",
    "replace",
    "utime",
)
"""What changes a disk, or has it keep a change."""


class Killed(BaseException):
    """Nothing that the process would have done comes after it."""


class Disk:
    """Counts calls. That with the number ``ends_at`` does not happen, or in part, and none after it either."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, links: bool) -> None:
        self.calls: list[str] = []
        self.ends_at = -1
        self.fails_with = 0
        """The error of that call; 0: the process is killed."""
        self._real = {name: getattr(os, name) for name in CALLS}
        self._links = links
        for name in CALLS:
            monkeypatch.setattr(os, name, self._counted(name))
        monkeypatch.setattr(segment_module, "fdatasync", os.fdatasync)
        monkeypatch.setattr(segment_module, "write_some", os.write)

    @contextmanager
    def ending(self, at: int, error: int = 0) -> Iterator[None]:
        self.calls.clear()
        self.ends_at, self.fails_with = at, error
        try:
            yield
        finally:
            self.ends_at = -1

    def _counted(self, name: str) -> Callable[..., Any]:
        real = self._real[name]

        def call(*arguments: Any, **more: Any) -> Any:
            if name == "open" and not arguments[1] & (os.O_CREAT | os.O_WRONLY):
                return real(*arguments, **more)
            self.calls.append(name)
            number = len(self.calls) - 1
            if self.ends_at >= 0 and number >= self.ends_at:
                if number == self.ends_at and "write" in name:
                    half = arguments[1][: len(arguments[1]) // 2]
                    real(arguments[0], half, *arguments[2:])
                if not self.fails_with:
                    raise Killed
                if number == self.ends_at:
                    raise OSError(self.fails_with, os.strerror(self.fails_with))
            if name == "link" and not self._links and "src_dir_fd" not in more:
                there = os.path.lexists(arguments[1])
                raise OSError(errno.EEXIST if there else errno.EXDEV, "no link")
            return real(*arguments, **more)

        return call


BATCHES = [[f"record {batch} {number}".encode() for number in range(3)] for batch in range(4)]


class Life:
    """What one process does: it starts, writes, syncs, rotates and ends."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.finished: list[bytes] = []
        self.hour = 10
        self.files: TopicFiles | None = None

    def now(self) -> datetime:
        return datetime(2025, 1, 1, self.hour, tzinfo=UTC)

    def run(self, batches: list[list[bytes]]) -> None:
        files = self.files = TopicFiles("t", "c", self.settings, now=self.now, clock=lambda: 0.0)
        files.recover()
        for number, batch in enumerate(batches):
            files.write(batch)
            if number == 2:
                self.hour += 1
                files.tick()
            else:
                files.sync()
            self.finished += batch
        files.close()

    def end(self) -> None:
        if self.files is not None:
            self.files.abandon()


MODES: dict[str, dict[str, Any]] = {
    "append": {},
    "gzip": {"gzip": True},
    "rotate": {"rotate_size": 20},
    "rotate gzip": {"rotate_size": 20, "gzip": True},
    "work": {"work_dir": "work"},
    "work gzip": {"work_dir": "work", "gzip": True, "skip_empty_files": True},
    "disk": {"work_dir": "work", "links": False},
    "disk gzip": {"work_dir": "work", "gzip": True, "links": False},
}


def settings_in(folder: Path, mode: str) -> Settings:
    more = dict(MODES[mode])
    more.pop("links", None)
    if "work_dir" in more:
        more["work_dir"] = str(folder / "work")
    return Settings(
        output_dir=str(folder / "out"), filename_format="<TOPIC>/<DATETIME><REV>.log", host="h", **more
    )


def records(folder: Path) -> list[bytes]:
    """Of all files, which must be readable to their end and hold whole lines only."""
    found = []
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            data = path.read_bytes()
            assert ".part" not in path.name
            if (
                path.suffix == ".torn"
            ):  # the first line of a file has none before it, so it may be something else
                assert BATCHES[0][0].startswith(data[:7])
                assert len(data) < len(BATCHES[0][0])
                continue
            content = gzip.decompress(data) if path.suffix == ".gz" else data
            assert content == b"" or content.endswith(b"\n")
            found += content.splitlines()
    return found


def steps(tmp_path: Path, disk: Disk, mode: str) -> int:
    """How many calls a life makes that nothing happens to."""
    with disk.ending(-1):
        life = Life(settings_in(tmp_path / "undisturbed", mode))
        life.run(BATCHES)
        assert records(tmp_path / "undisturbed") == [body for batch in BATCHES for body in batch]
        return len(disk.calls)


@pytest.mark.parametrize("mode", MODES)
def test_a_kill_at_any_call_loses_nothing_that_was_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    disk = Disk(monkeypatch, links=MODES[mode].get("links", True))
    for at in range(steps(tmp_path, disk, mode)):
        folder = tmp_path / str(at)
        life = Life(settings_in(folder, mode))
        with disk.ending(at), pytest.raises(Killed):
            life.run(BATCHES)
        called = disk.calls[at]
        life.end()
        written = life.finished
        again = Life(life.settings)
        again.run([[b"after"]])
        there = Counter(records(folder))
        unfinished = next((b for b in BATCHES if b[0] not in written), [])
        assert there >= Counter([*written, b"after"]), (at, called)
        assert there <= Counter([*written, *unfinished, b"after"]), (at, called)
        if "work_dir" in MODES[mode]:
            assert [path for path in (folder / "work").rglob("*") if path.is_file()] == [], (at, called)


@pytest.mark.parametrize("mode", ["work", "work gzip", "disk", "disk gzip", "append"])
def test_a_kill_at_any_call_of_the_repair_loses_nothing_either(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    disk = Disk(monkeypatch, links=MODES[mode].get("links", True))
    steps(tmp_path, disk, mode)
    second_write = [place for place, call in enumerate(disk.calls) if call == "write"][1]
    for at in range(100):
        folder = tmp_path / str(at)
        life = Life(settings_in(folder, mode))
        with disk.ending(second_write), pytest.raises(Killed):
            life.run(BATCHES)
        life.end()
        second = Life(life.settings)
        with disk.ending(at):
            try:
                second.run([])
            except Killed:
                ended = False
            else:
                ended = True
        second.end()
        Life(life.settings).run([])
        there = Counter(records(folder))
        assert there >= Counter(life.finished), at
        assert len(there) == there.total() < 6, at
        if ended:
            break
    else:
        pytest.fail("the repair never ended")


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.EROFS])
@pytest.mark.parametrize("mode", ["append", "work gzip", "disk", "rotate gzip"])
def test_an_error_of_any_call_is_told_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str, error: int
) -> None:
    disk = Disk(monkeypatch, links=MODES[mode].get("links", True))
    for at in range(steps(tmp_path, disk, mode)):
        folder = tmp_path / str(at)
        life = Life(settings_in(folder, mode))
        with disk.ending(at, error), pytest.raises(ArchiveFailed) as raised:
            life.run(BATCHES)
        text = str(raised.value)
        assert str(folder) in text
        assert text.lower().endswith(os.strerror(error).lower())
        life.end()
        again = Life(life.settings)
        again.run([[b"after"]])
        there = Counter(records(folder))
        assert there >= Counter([*life.finished, b"after"]), (at, disk.calls[at])
        assert max(there.values()) == 1, (at, disk.calls[at])
