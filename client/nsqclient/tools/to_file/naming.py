"""The names of files. Pure: the time is passed in, no folder is looked at.

``<DATETIME>`` is made from strftime codes, with English names whatever the locale. A code that is unknown stays as
it is typed, and so does all other text.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime

from nsqclient.errors import ConfigError
from nsqclient.tools.to_file.settings import Settings

REVISION = "<REV>"
DATETIME = "<DATETIME>"
GZIP_SUFFIX = ".gz"
MISSING_REVISION = "missing <REV> in --filename-format when gzip, rotation, or work dir enabled"

DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)


def _offset(now: datetime) -> str:
    offset = now.utcoffset()
    minutes = 0 if offset is None else int(offset.total_seconds() // 60)
    return f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02d}{abs(minutes) % 60:02d}"


_CODES: dict[str, tuple[Callable[[datetime], str], str]] = {
    # what a code becomes, and a pattern of all that it may become
    "A": (lambda now: DAYS[now.weekday()], "|".join(DAYS)),
    "a": (lambda now: DAYS[now.weekday()][:3], "|".join(day[:3] for day in DAYS)),
    "B": (lambda now: MONTHS[now.month - 1], "|".join(MONTHS)),
    "b": (lambda now: MONTHS[now.month - 1][:3], "|".join(month[:3] for month in MONTHS)),
    "d": (lambda now: f"{now.day:02d}", r"\d\d"),
    "H": (lambda now: f"{now.hour:02d}", r"\d\d"),
    "I": (lambda now: f"{now.hour % 12 or 12:02d}", r"\d\d"),
    "M": (lambda now: f"{now.minute:02d}", r"\d\d"),
    "m": (lambda now: f"{now.month:02d}", r"\d\d"),
    "p": (lambda now: "AM" if now.hour < 12 else "PM", "AM|PM"),
    "S": (lambda now: f"{now.second:02d}", r"\d\d"),
    "Y": (lambda now: f"{now.year:04d}", r"\d{4}"),
    "y": (lambda now: f"{now.year % 100:02d}", r"\d\d"),
    "Z": (lambda now: now.tzname() or "", r"[A-Za-z0-9+-]*"),
    "z": (_offset, r"[+-]\d{4}"),
    "%": (lambda now: "%", "%"),
}
_CODE = re.compile("%(.)", re.DOTALL)


def strftime(form: str, now: datetime) -> str:
    """``now`` as the format says; it should know its time zone."""

    def spelled(match: re.Match[str]) -> str:
        known = _CODES.get(match[1])
        return match[0] if known is None else known[0](now)

    return _CODE.sub(spelled, form)


def _datetime_pattern(form: str) -> str:
    pattern, at = "", 0
    for match in _CODE.finditer(form):
        pattern += re.escape(form[at : match.start()])
        known = _CODES.get(match[1])
        pattern += re.escape(match[0]) if known is None else f"(?:{known[1]})"
        at = match.end()
    return pattern + re.escape(form[at:])


def host_name(name: str, identifier: str = "") -> str:
    """What ``<HOST>`` stands for: the host's ``name`` up to the first dot, or ``identifier``.

    ``<SHORT_HOST>`` and ``<HOSTNAME>`` in the identifier are the same up to the first dot, and all of it.
    """
    short = name.partition(".")[0]
    if not identifier:
        return short
    return identifier.replace("<SHORT_HOST>", short).replace("<HOSTNAME>", name)


class FileNames:
    """The names that the files of one topic have at one time or another, relative to their folder."""

    def __init__(self, topic: str, settings: Settings) -> None:
        """Raises ConfigError where ``<REV>`` is needed and missing."""
        form = settings.filename_format.lstrip("/")
        if settings.gzip and not form.endswith(GZIP_SUFFIX):
            form += GZIP_SUFFIX
        if not settings.needs_revision:
            form = form.replace(REVISION, "")
        elif REVISION not in form:
            raise ConfigError(MISSING_REVISION)
        self._datetime_format = settings.datetime_format
        self._form = form
        for tag, text in (("<TOPIC>", topic), ("<HOST>", settings.host), ("<PID>", str(settings.pid))):
            self._form = self._form.replace(tag, text)
        pattern = _pattern_of(form, topic, settings)
        self._pattern = re.compile(pattern)
        self.parts: tuple[re.Pattern[str], ...] = tuple(re.compile(part) for part in pattern.split("/"))
        """Patterns of the folders that lead to a file, and of its own name."""

    def at(self, now: datetime) -> str:
        """The name at that time; the revision is still to be filled in."""
        return self._form.replace(DATETIME, strftime(self._datetime_format, now))

    def with_revision(self, name: str, revision: int) -> str:
        """A name that :meth:`at` gave, with its revision."""
        return name.replace(REVISION, f"-{revision:06d}")

    def is_ours(self, name: str) -> bool:
        """Whether this topic's files could have that name, at any time and in any process of this host."""
        return self._pattern.fullmatch(name) is not None

    def next_revision(self, name: str) -> str:
        """A name of ours with the next revision; raises ConfigError where it has none."""
        match = self._pattern.fullmatch(name)
        if match is None or not match.groups():
            raise ConfigError(f"{name} has no revision")
        for group in range(len(match.groups()), 0, -1):
            name = f"{name[: match.start(group)]}-{int(match[group][1:]) + 1:06d}{name[match.end(group) :]}"
        return name


def _pattern_of(form: str, topic: str, settings: Settings) -> str:
    patterns = {
        "<TOPIC>": re.escape(topic),
        "<HOST>": re.escape(settings.host),
        "<PID>": r"\d+",  # whichever process of this host wrote it
        DATETIME: _datetime_pattern(settings.datetime_format),
        REVISION: r"(-\d{6,})",
    }
    pattern, at = "", 0
    for match in re.finditer("|".join(map(re.escape, patterns)), form):
        pattern += re.escape(form[at : match.start()]) + patterns[match[0]]
        at = match.end()
    return pattern + re.escape(form[at:])
