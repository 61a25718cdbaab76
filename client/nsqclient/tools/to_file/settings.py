"""What the files of a topic need to know; the same for all topics of a process."""

from __future__ import annotations

from dataclasses import dataclass

DATETIME_FORMAT = "%Y-%m-%d_%H"
FILENAME_FORMAT = "<TOPIC>.<HOST><REV>.<DATETIME>.log"


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """Checked by those who read them from flags; nothing is checked here."""

    output_dir: str = "/tmp"
    """The folder of finished files."""
    work_dir: str = ""
    """The folder of files that are being written; empty, or the same as ``output_dir``: there is no other."""
    datetime_format: str = DATETIME_FORMAT
    """What ``<DATETIME>`` stands for, in strftime codes; local time."""
    filename_format: str = FILENAME_FORMAT
    """May hold slashes, ``<TOPIC>``, ``<HOST>``, ``<PID>``, ``<DATETIME>`` and ``<REV>``."""
    host: str = "localhost"
    """What ``<HOST>`` stands for."""
    pid: int = 0
    """What ``<PID>`` stands for."""
    gzip: bool = False
    gzip_level: int = 6
    """1 to 9."""
    skip_empty_files: bool = False
    """Opens no file before there is a message for it."""
    rotate_size: int = 0
    """Bytes, uncompressed, beyond which a file is followed by the next; 0: no limit."""
    rotate_interval: float = 0.0
    """Seconds that a file is written to at most; 0: no limit."""
    sync_interval: float = 30.0
    """Seconds after which messages are synced and finished at the latest."""
    max_in_flight: int = 200
    """Messages that may be received and not finished."""

    @property
    def separate_work_dir(self) -> bool:
        """Whether files are moved when they are complete."""
        return bool(self.work_dir) and self.work_dir != self.output_dir

    @property
    def folder(self) -> str:
        """Where files are written."""
        return self.work_dir or self.output_dir

    @property
    def exclusive(self) -> bool:
        """Whether a file that is there already is left alone; else it is appended to."""
        return self.gzip or self.rotate_interval > 0

    @property
    def needs_revision(self) -> bool:
        """Whether one name may be wanted several times."""
        return self.exclusive or self.rotate_size > 0 or self.separate_work_dir
