"""The tools and the originals are given the same command lines, and must say the same."""

from __future__ import annotations

import re
import subprocess
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.support.needs import original
from tests.support.processes import ROOT
from tests.support.tools import PACKAGES
from tests.system.cluster import Kind, tool_command
from tests.system.command_lines import COMMAND_LINES, RUNS, TOOLS, CommandLine, Says

TIMEOUT_S = 30.0
_DATE = re.compile(r"^\d{4}/\d\d/\d\d \d\d:\d\d:\d\d ")


def ended(command: Sequence[str | Path], line: CommandLine) -> tuple[int, str, list[str]]:
    """Status, stdout, and the lines of stderr without dates, of a command with the line's arguments."""
    run = subprocess.run(
        [*command, *line.args],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        cwd=ROOT,
        check=False,
    )
    return run.returncode, run.stdout, [_DATE.sub("", text) for text in run.stderr.splitlines()]


def judge(line: CommandLine, expected: Says, found: tuple[int, str, list[str]]) -> None:
    status, out, told = found
    shown = "\n".join(told)
    assert status == expected.status, shown
    assert out == expected.out
    if not expected.text:
        assert told == []
    elif line.later:
        assert expected.text in told, shown
    elif expected.text.endswith(": "):  # what comes then are the words of the system
        assert told[0].startswith(expected.text), shown
    else:
        assert told[:1] == [expected.text], shown


@pytest.mark.parametrize("line", COMMAND_LINES, ids=str)
def test_our_tool_ends_as_the_table_says(line: CommandLine) -> None:
    judge(line, line.ours, ended(tool_command(line.tool, Kind.OURS), line))


@pytest.mark.parametrize("line", [line for line in COMMAND_LINES if line.original is not RUNS], ids=str)
def test_the_original_ends_as_the_table_says(line: CommandLine) -> None:
    program = original(line.tool)
    status, out, told = ended([program], line)
    told = [text.replace(f"Usage of {program}:", f"Usage of {line.tool}:") for text in told]
    expected = line.original or line.ours
    assert isinstance(expected, Says)
    judge(line, expected, (status, out, told))


def test_every_tool_has_good_and_bad_lines_in_the_table() -> None:
    found = Counter((line.tool, line.ours.status) for line in COMMAND_LINES)
    assert {tool for tool, _ in found} == set(TOOLS) == set(PACKAGES)
    assert all(found[tool, status] for tool in TOOLS for status in (0, 1, 2))
