"""Log lines in the originals' form, and the one place where logging is configured."""

from __future__ import annotations

import logging
import sys
import time

LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "error": logging.ERROR,
    "fatal": logging.CRITICAL,
}
_WORDS = {logging.CRITICAL: "FATAL"}
_VISIBLE = {c: f"\\x{c:02x}" for c in (*range(0x20), *range(0x7F, 0xA0))}
_VISIBLE |= {ord("\t"): "\t", ord("\n"): "\\n", ord("\r"): "\\r"}


class LogLevel(str):
    """A level by its Go name: debug, info, warn, error or fatal; any letter case."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> LogLevel:
        """Raises ValueError with the original's text for any other word."""
        if text.lower() not in LEVELS:
            raise ValueError(f"invalid log level '{text}' (debug, info, warn, error, fatal)")
        return cls(text)

    @property
    def number(self) -> int:
        """Go's number for it: 1 for debug to 5 for fatal, as ``/config/log_level`` answers."""
        return list(LEVELS).index(self.lower()) + 1


class LogFormat(str):
    """How log lines look: ``text`` as the originals', or ``json``."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> LogFormat:
        """Raises ValueError for any other word."""
        if text not in ("text", "json"):
            raise ValueError(f"invalid log format '{text}' (text, json)")
        return cls(text)


class GoFormatter(logging.Formatter):
    """``<prefix>2026/11/22 06:48:29.140175 INFO: text``, local time.

    Control characters are shown as escapes: what a peer sent can't begin a new line or steer a terminal.
    """

    def __init__(self, prefix: str) -> None:
        super().__init__()
        self.prefix = prefix

    def format(self, record: logging.LogRecord) -> str:
        """One line for the event, and the traceback below it if it has one."""
        seconds, fraction = divmod(record.created, 1)
        when = time.strftime("%Y/%m/%d %H:%M:%S", time.localtime(seconds))
        word = _WORDS.get(record.levelno, record.levelname)
        message = record.getMessage()
        if not message.isprintable():
            message = message.translate(_VISIBLE)
        text = f"{self.prefix}{when}.{int(fraction * 1_000_000):06d} {word}: {message}"
        return f"{text}\n{self.formatException(record.exc_info)}" if record.exc_info else text


def configure(prefix: str, level: LogLevel) -> None:
    """Sends the log of this process to stderr with that prefix, from that level on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(GoFormatter(prefix))
    logging.raiseExceptions = False  # a closed stderr must not turn every event into a traceback
    root = logging.getLogger()
    root.handlers = [handler]
    set_level(level)


def set_level(level: LogLevel) -> None:
    """Changes the level while the daemon runs; libraries stay at WARNING, for they log each request."""
    root = logging.getLogger()
    root.setLevel(LEVELS[level.lower()])
    for library in ("asyncio", "aiohttp"):
        logging.getLogger(library).setLevel(max(logging.WARNING, root.level))


def fatal(program: str, text: str) -> None:
    """A FATAL line of the main program: always with the plain ``[program]`` prefix, as the originals do."""
    record = logging.LogRecord(program, logging.CRITICAL, "", 0, text, None, None)
    sys.stderr.write(GoFormatter(f"[{program}] ").format(record) + "\n")
