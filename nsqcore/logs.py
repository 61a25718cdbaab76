"""Log lines in the originals' form or as JSON, and the one place where logging is configured."""

from __future__ import annotations

import json
import logging
import sys
import time

from nsqcore.golang import go_reason

LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "error": logging.ERROR,
    "fatal": logging.CRITICAL,
}
LONGEST_MESSAGE = 4096
"""Characters of an event's text that are logged; what peers send can be megabytes."""

debugging = False
"""Whether DEBUG lines are wanted, for places too hot to ask a logger."""

_FAILURES = (OSError, EOFError)
"""Exceptions that Go has its own words for."""
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


def one_line(record: logging.LogRecord) -> str:
    """The text of an event on one line: control characters are escapes, so that none can begin a new line or
    steer a terminal, and what is too long is cut."""
    message = _message(record)
    return message if message.isprintable() else message.translate(_VISIBLE)


def _message(record: logging.LogRecord) -> str:
    if isinstance(record.args, tuple) and any(isinstance(arg, _FAILURES) for arg in record.args):
        worded = tuple(go_reason(arg) if isinstance(arg, _FAILURES) else arg for arg in record.args)
        message = record.msg % worded
    else:
        message = record.getMessage()
    if len(message) > LONGEST_MESSAGE:
        return f"{message[:LONGEST_MESSAGE]}... ({len(message)} characters)"
    return message


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
        text = f"{self.prefix}{when}.{int(fraction * 1_000_000):06d} {word}: {one_line(record)}"
        return f"{text}\n{self.formatException(record.exc_info)}" if record.exc_info else text


class JsonFormatter(logging.Formatter):
    """One JSON object per event, ASCII, on one line whatever is in it.

    ``{"time":"2026-11-22T06:48:29.140175+01:00","level":"INFO","prefix":"[nsqd]","message":"text"}``, and
    ``traceback`` when there is one. An event may have fields of its own besides.
    """

    def __init__(self, prefix: str) -> None:
        super().__init__()
        self.prefix = prefix.strip()

    def format(self, record: logging.LogRecord) -> str:
        """The object's text, without an end of line."""
        seconds, fraction = divmod(record.created, 1)
        local = time.localtime(seconds)
        zone = time.strftime("%z", local)
        event = {
            "time": f"{time.strftime('%Y-%m-%dT%H:%M:%S', local)}.{int(fraction * 1_000_000):06d}"
            f"{zone[:3]}:{zone[3:]}",
            "level": _WORDS.get(record.levelno, record.levelname),
            "prefix": self.prefix,
            "message": _message(record),
        }
        # What an event is made of, for who searches: logged with extra={"fields": {...}}, texts all.
        event |= {key: value for key, value in getattr(record, "fields", {}).items() if value}
        if record.exc_info:
            event["traceback"] = self.formatException(record.exc_info)
        # Half of a surrogate pair is valid in a Python text, but in no reader of JSON.
        return json.dumps(
            {key: value.encode(errors="backslashreplace").decode() for key, value in event.items()}
        )


_FORMATTERS: dict[str, type[GoFormatter | JsonFormatter]] = {"text": GoFormatter, "json": JsonFormatter}


def configure(prefix: str, level: LogLevel, form: LogFormat) -> None:
    """Sends the log of this process to stderr with that prefix and in that form, from that level on."""
    install(_FORMATTERS[form](prefix), level)


def install(formatter: logging.Formatter, level: LogLevel) -> None:
    """As :func:`configure`, with lines of another form."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    logging.raiseExceptions = False  # a closed stderr must not turn every event into a traceback
    root = logging.getLogger()
    root.handlers = [handler]
    set_level(level)


def set_level(level: LogLevel) -> None:
    """Changes the level while the daemon runs; libraries stay at WARNING, for they log each request."""
    global debugging
    root = logging.getLogger()
    root.setLevel(LEVELS[level.lower()])
    debugging = root.level <= logging.DEBUG
    for library in ("asyncio", "aiohttp"):
        logging.getLogger(library).setLevel(max(logging.WARNING, root.level))


def fatal(program: str, text: str) -> None:
    """A FATAL line of the main program: always with the plain ``[program]`` prefix, as the originals do."""
    record = logging.LogRecord(program, logging.CRITICAL, "", 0, text, None, None)
    configured = [handler.formatter for handler in logging.getLogger().handlers]
    as_json = any(isinstance(formatter, JsonFormatter) for formatter in configured)
    formatter = (JsonFormatter if as_json else GoFormatter)(f"[{program}] ")
    sys.stderr.write(formatter.format(record) + "\n")


def plain(text: str) -> None:
    """A line with the date alone, as the originals' come that they leave to Go's own logger."""
    sys.stderr.write(f"{time.strftime('%Y/%m/%d %H:%M:%S')} {text.translate(_VISIBLE)}\n")
