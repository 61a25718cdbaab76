"""The log lines of tools: those of the client library as go-nsq writes them, a tool's own with the date alone.

``2025/01/31 12:00:00 INF [topic/channel] (127.0.0.1:4150) subscribed``, local time. All of it goes to stderr.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import ClassVar, Protocol

from nsqclient.tools.common.usage import LAST
from nsqcore import logs
from nsqcore.logs import LogLevel
from nsqcore.options import option

_LEVELS = {
    logging.DEBUG: "DBG",
    logging.INFO: "INF",
    logging.WARNING: "WRN",
    logging.ERROR: "ERR",
    logging.CRITICAL: "ERR",
}
PLAIN = {"plain": True}
"""For ``extra`` of a record: a line of the tool's own."""


@dataclass(frozen=True)
class Logged:
    """The flag that tells how much is logged; a mixin of options."""

    heading: ClassVar[str] = LAST

    log_level: LogLevel = option(
        LogLevel("info"), "log from this level on: debug, info, warn, error or fatal", parse=LogLevel.parse
    )


class _Logged(Protocol):
    @property
    def log_level(self) -> LogLevel: ...


class LineFormatter(logging.Formatter):
    """One line for an event, in the form above; a traceback below it if it has one."""

    def format(self, record: logging.LogRecord) -> str:
        """The text, without an end of line."""
        words = [time.strftime("%Y/%m/%d %H:%M:%S", time.localtime(record.created))]
        if not getattr(record, "plain", False):
            words.append(_LEVELS.get(record.levelno, record.levelname))
            topic, channel = getattr(record, "topic", None), getattr(record, "channel", None)
            if topic is not None:
                words.append(f"[{topic}/{channel}]" if channel is not None else f"[{topic}]")
            node = getattr(record, "node", None)
            if node is not None:
                words.append(f"({node})")
        words.append(logs.one_line(record))
        text = " ".join(words)
        return f"{text}\n{self.formatException(record.exc_info)}" if record.exc_info else text


def log_plainly(options: _Logged) -> None:
    """Configures logging so, from ``log_level`` on."""
    logs.install(LineFormatter(), options.log_level)


def say(logger: logging.Logger, text: str, *args: object) -> None:
    """Logs a line of a tool's own at the level INFO: date and text alone."""
    logger.info(text, *args, extra=PLAIN)


def complain(logger: logging.Logger, text: str, *args: object) -> None:
    """Likewise at the level ERROR."""
    logger.error(text, *args, extra=PLAIN)
