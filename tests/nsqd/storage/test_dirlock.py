"""One nsqd per data folder."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from nsqcore.errors import StartError
from nsqd.storage.dirlock import DirLock
from tests.support.disk import descriptors


def test_a_folder_can_be_had_once(tmp_path: Path) -> None:
    before = descriptors()
    lock = DirLock(tmp_path)
    with pytest.raises(StartError) as refused:
        DirLock(tmp_path)
    assert str(refused.value) == (
        f"failed to lock data-path: cannot flock directory {tmp_path} - resource temporarily unavailable"
        " (possibly in use by another instance of nsqd)"
    )
    lock.release()
    DirLock(tmp_path).release()
    assert descriptors() == before


def test_releasing_twice_is_fine(tmp_path: Path) -> None:
    lock = DirLock(tmp_path)
    lock.release()
    other = os.open(tmp_path, os.O_RDONLY)
    lock.release()
    os.close(other)


def test_the_folder_stays_as_it_is(tmp_path: Path) -> None:
    DirLock(tmp_path).release()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "50%"
    with pytest.raises(StartError) as refused:
        DirLock(folder)
    assert str(refused.value) == f"failed to lock data-path: open {folder}: no such file or directory"


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StartError, match=r"failed to lock data-path: open \S+/file: not a directory"):
        DirLock(tmp_path / "file")


def test_the_lock_goes_with_its_process_and_not_to_its_children(tmp_path: Path) -> None:
    code = (
        "import subprocess, sys; from pathlib import Path; from nsqd.storage.dirlock import DirLock;"
        "lock = DirLock(Path(sys.argv[1]));"
        "print(subprocess.Popen(['sleep', '30'], stdout=-3, stderr=-3).pid)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[3],
    )
    child = int(done.stdout)
    try:
        DirLock(tmp_path).release()
    finally:
        os.kill(child, 9)
