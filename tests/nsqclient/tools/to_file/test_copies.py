"""A file that goes to another file system is there whole or not at all, and takes nobody's place."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from nsqclient.tools.to_file import copies
from nsqclient.tools.to_file.copies import copy_without_overwriting


@pytest.fixture(params=["nameless", "beside"])
def nameless(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether the file system has files without a name."""
    if request.param == "beside":
        monkeypatch.setattr(os, "O_TMPFILE", os.O_DIRECTORY)
    return bool(request.param == "nameless")


@pytest.mark.usefixtures("nameless")
def test_the_copy_is_complete_and_alone(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "to" / "target"
    target.parent.mkdir()
    data = os.urandom(copies.BLOCK * 2 + 17)
    source.write_bytes(data)
    copy_without_overwriting(source, target)
    assert target.read_bytes() == data
    assert list(target.parent.iterdir()) == [target]
    assert (target.stat().st_mode ^ source.stat().st_mode) & 0o777 == 0


@pytest.mark.usefixtures("nameless")
@pytest.mark.parametrize("link", [False, True], ids=["a file", "a link to nowhere"])
def test_a_name_that_is_taken_stays_as_it_is(tmp_path: Path, link: bool) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(b"new")
    if link:
        target.symlink_to(tmp_path / "nowhere")
    else:
        target.write_bytes(b"old")
    with pytest.raises(FileExistsError):
        copy_without_overwriting(source, target)
    assert target.is_symlink() if link else target.read_bytes() == b"old"
    assert sorted(tmp_path.iterdir()) == [source, target]


@pytest.mark.usefixtures("nameless")
def test_a_name_that_is_taken_while_it_copies_stays_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(b"new")
    sync = os.fsync

    def somebody_is_faster(fd: int) -> None:
        sync(fd)
        target.write_bytes(b"old")

    monkeypatch.setattr(os, "fsync", somebody_is_faster)
    with pytest.raises(FileExistsError):
        copy_without_overwriting(source, target)
    assert target.read_bytes() == b"old"
    assert sorted(tmp_path.iterdir()) == [source, target]


@pytest.mark.usefixtures("nameless")
def test_a_copy_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(b"new")

    def broken(fd: int) -> None:
        raise OSError(28, "no space left on device")

    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(OSError, match="no space left"):
        copy_without_overwriting(source, target)
    assert list(tmp_path.iterdir()) == [source]
