"""Replacing a file: the old text or the new one, and nothing beside."""

from __future__ import annotations

import builtins
import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Self

import pytest

from nsqd.storage.atomic import remove_unfinished, write_atomically
from tests.support.disk import descriptors


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file that is there already."""
    path = tmp_path / "100%d.dat"
    path.write_bytes(b"old")
    return path


def test_the_new_text_replaces_the_old_one(path: Path) -> None:
    before = descriptors()
    write_atomically(path, b"new\0\xff")
    assert path.read_bytes() == b"new\0\xff"
    assert [p.name for p in path.parent.iterdir()] == [path.name]
    assert descriptors() == before


def test_a_file_that_is_not_there_is_made(tmp_path: Path) -> None:
    write_atomically(tmp_path / "x", b"")
    assert (tmp_path / "x").read_bytes() == b""


def test_it_is_for_its_owner_alone(path: Path) -> None:
    path.chmod(0o666)
    write_atomically(path, b"new")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_text_is_on_disk_before_the_name_and_the_name_before_it_returns(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[str, bytes]] = []
    fsync = os.fsync

    def noting(fd: int) -> None:
        name = Path(f"/proc/self/fd/{fd}").readlink().name
        seen.append((name.partition(".dat.")[2].rstrip("0123456789.tmp") or name, path.read_bytes()))
        fsync(fd)

    monkeypatch.setattr(os, "fsync", noting)
    write_atomically(path, b"new")
    assert [text for _, text in seen] == [b"old", b"new"]
    assert seen[1][0] == path.parent.name


def failing(*_: object, **__: object) -> int:
    raise OSError(errno.ENOSPC, "No space left on device")


class FailsAfterOpen:
    """A file whose writes fail."""

    def __init__(self, *_: object, **__: object) -> None: ...

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...

    def writelines(self, _: object) -> int:
        return failing()


FAILURES: dict[str, tuple[object, str, Callable[..., object]]] = {
    "creating it": (os, "open", failing),
    "writing it": (builtins, "open", FailsAfterOpen),
    "syncing it": (os, "fsync", failing),
    "renaming it": (Path, "rename", failing),
}


@pytest.mark.parametrize(("owner", "name", "stand_in"), FAILURES.values(), ids=FAILURES.keys())
def test_a_failure_leaves_the_old_text_and_nothing_beside(
    path: Path, monkeypatch: pytest.MonkeyPatch, owner: object, name: str, stand_in: Callable[..., object]
) -> None:
    before = descriptors()
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, stand_in)
        with pytest.raises(OSError, match="No space left"):
            write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert [p.name for p in path.parent.iterdir()] == [path.name]
    assert descriptors() == before


def test_a_folder_that_can_t_be_synced_is_a_failure_though_the_name_is_new(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = descriptors()
    calls: list[int] = []
    fsync = os.fsync

    def second_fails(fd: int) -> None:
        calls.append(fd)
        if len(calls) == 2:
            failing()
        fsync(fd)

    monkeypatch.setattr(os, "fsync", second_fails)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(path, b"new")
    assert [p.name for p in path.parent.iterdir()] == [path.name]
    assert descriptors() == before


def test_a_file_system_that_can_t_sync_folders_will_do(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some network file systems refuse it; the original never asks."""
    fsync = os.fsync

    def files_only(fd: int) -> None:
        if stat.S_ISDIR(os.fstat(fd).st_mode):
            raise OSError(errno.EINVAL, "Invalid argument")
        fsync(fd)

    monkeypatch.setattr(os, "fsync", files_only)
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new"


def test_a_folder_that_is_gone_is_a_failure(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_atomically(tmp_path / "gone" / "x", b"new")


def test_what_a_crash_left_beside_is_removed_and_nothing_else(tmp_path: Path) -> None:
    for name in ("nsqd.dat.5577006791947779410.tmp", "t:c.diskqueue.meta.dat.8674665223082153551.tmp"):
        (tmp_path / name).touch()
    kept = ["a.tmp", "nsqd.dat", "nsqd.dat.5.tmp.bad", "nsqd.dat.x.tmp", "t.diskqueue.000000.dat.bad"]
    for name in kept:
        (tmp_path / name).touch()
    remove_unfinished(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == kept
