"""The files of one topic, with clocks to move, and what they logged."""

from __future__ import annotations

import errno
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from nsqclient.tools.to_file.files import TopicFiles
from nsqclient.tools.to_file.settings import Settings


class Rig:
    """Files of topic t, channel c, in folders of their own, with a clock that the test moves."""

    def __init__(self, folder: Path, **more: Any) -> None:
        self.out, self.work = folder / "out", folder / "work"
        self.seconds = 0.0
        more.setdefault("filename_format", "<TOPIC><REV>.<DATETIME>.log")
        if more.pop("separate", False):
            more["work_dir"] = str(self.work)
        self.settings = Settings(output_dir=str(self.out), host="h", **more)
        self.files = self.make()

    def make(self) -> TopicFiles:
        """As after a start of the process."""
        return TopicFiles("t", "c", self.settings, now=self.now, clock=lambda: self.seconds)

    def now(self) -> datetime:
        return datetime(2025, 1, 1, 10, tzinfo=UTC) + timedelta(seconds=self.seconds)

    def contents(self) -> dict[str, bytes]:
        """All files below both folders."""
        return {
            f"{folder.name}/{path.relative_to(folder)}": path.read_bytes()
            for folder in (self.out, self.work)
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }


NAME = "2025-01-01_10.log"
LATER = "2025-01-01_11.log"


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Each with its level."""
    return [f"{record.levelname} {record.message}" for record in caplog.records]


def refuse(*arguments: object) -> None:
    """Stands for a call to the system that fails."""
    raise OSError(errno.EIO, os.strerror(errno.EIO))
