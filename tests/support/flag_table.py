"""What a daemon's command line is answered: the table that is tried in process, and on the original where it is at hand.

A row says which flag with which text ends the start, with which status and first line on stderr; ``None`` for
the line of a start that goes well.
"""

from __future__ import annotations

import logging
import re
import subprocess
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, cast

import pytest

from nsqcore.command_line import CommandLine
from nsqcore.errors import StartError
from nsqcore.options import Flag
from tests.support.needs import original

STAMP = re.compile(r"\d{4}/\d\d/\d\d \d\d:\d\d:\d\d(\.\d{6})? ")
SECOND_LINE = "Usage of {}:"


class Row(NamedTuple):
    """One start: its arguments, and how it ends."""

    argv: tuple[str, ...]
    status: int | None = None
    """None: it goes on."""
    line: str = ""
    """The first line on stderr, without its time."""
    ours: bool = False
    """The original says something else, or nothing: it crashes later, or does not know the flag."""


def rows_of_kind(flag: Flag) -> Iterator[Row]:
    """What holds for every flag of a kind: numbers, durations, booleans, texts, lists."""
    name = flag.name
    if flag.boolean:
        yield from (Row((f"--{name}={text}",)) for text in ("1", "t", "TRUE", "0", "False"))
        yield Row((f"--{name}",))
        yield Row((f"-{name}", "maybe"))  # the word ends the flags
        for text in ("", "2", "yes", "tRUE"):
            yield Row((f"--{name}={text}",), 2, f'invalid boolean value "{text}" for -{name}: parse error')
        return
    if flag.bare is None:
        yield Row((f"--{name}",), 2, f"flag needs an argument: -{name}")
    if flag.word == "int":
        yield from (Row((f"--{name}={text}",)) for text in ("7", "0x7", "0b111", "0o7", "07", "+7"))
        yield Row((f"-{name}", "7"))
        for text in ("", "abc", "1.5", "1e3", " 7", "1__0", "08", "0x", "--1"):
            yield Row((f"--{name}={text}",), 2, f'invalid value "{text}" for flag -{name}: parse error')
        for text in ("9223372036854775808", "-9223372036854775809"):
            yield Row(
                (f"--{name}={text}",), 2, f'invalid value "{text}" for flag -{name}: value out of range'
            )
    elif flag.word == "duration":
        yield from (
            Row((f"--{name}={text}",)) for text in ("1500ms", "1.5s", "1h15m", "2s3ms", "+2s", "2000000µs")
        )
        for text in ("", "5", "abc", "1.5", "s", "1 s", "1d", "9999999h", "."):
            yield Row((f"--{name}={text}",), 2, f'invalid value "{text}" for flag -{name}: parse error')


@contextmanager
def _own_logging() -> Iterator[None]:
    """``load`` configures the root logger, which is pytest's too."""
    root = logging.getLogger()
    before, level, raising = root.handlers, root.level, logging.raiseExceptions
    try:
        yield
    finally:
        root.handlers, logging.raiseExceptions = before, raising
        root.setLevel(level)


def outcome(
    line: CommandLine, check: Callable[[Any], object], argv: Sequence[str], capsys: pytest.CaptureFixture[str]
) -> tuple[int | None, list[str]]:
    """How a start with ``argv`` ends as far as its flags decide: the status, and the lines on stderr."""
    with _own_logging():
        try:
            check(line.load(argv))
        except SystemExit as e:
            return cast(int, e.code), [STAMP.sub("", text) for text in capsys.readouterr().err.splitlines()]
        except StartError as e:
            return 1, [f"[{line.program}] FATAL: failed to instantiate {line.program} - {e}"]
    assert capsys.readouterr() == ("", "")
    return None, []


def of_original(program: str, argv: Iterable[str], folder: Path) -> tuple[int, list[str]]:
    """As :func:`outcome`, of the original, which must end by itself; skips where there is none."""
    ended = subprocess.run(
        [original(program), *argv], capture_output=True, text=True, timeout=20, cwd=folder, check=False
    )
    return ended.returncode, [STAMP.sub("", text) for text in ended.stderr.splitlines()]
