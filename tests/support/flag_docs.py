"""The tables of flags in ``docs/configuration.md``: ``python -m tests.support.flag_docs`` writes them anew."""

from __future__ import annotations

from pathlib import Path

import nsqadmin.options
import nsqd.options
import nsqlookupd.options
from nsqcore.command_line import CommandLine
from nsqcore.options import Flag

DOC = Path(__file__).parents[2] / "docs" / "configuration.md"
PROGRAMS = (nsqd.options.command_line(), nsqlookupd.options.command_line(), nsqadmin.options.COMMAND_LINE)
OF_THE_HOST = {"node-id": "from the host name", "broadcast-address": "the host name"}
"""Defaults that differ from machine to machine."""


def _default(flag: Flag) -> str:
    if flag.name in OF_THE_HOST:
        return OF_THE_HOST[flag.name]
    if isinstance(flag.default, list):
        return "none"
    if isinstance(flag.default, bool):
        return f"`{str(flag.default).lower()}`"
    shown = str(flag.default)
    return f"`{shown}`" if shown.strip() == shown and shown else f'`"{shown}"`'


def _row(flag: Flag) -> str:
    word = f" {flag.word}" if flag.word and flag.bare is None else ""
    more = " (may be given several times)" if flag.repeatable else ""
    limit = f"; must be {flag.limit.words}" if flag.limit is not None else ""
    return f"| `--{flag.name}{word}` | `{flag.key}` | {_default(flag)} | {flag.help}{more}{limit} |"


def table_of(line: CommandLine) -> str:
    """The table of a program's flags, in their alphabetical order."""
    rows = [_row(flag) for _, flag in sorted(line.flags.items())]
    return "\n".join(["| flag | key | default | meaning |", "| --- | --- | --- | --- |", *rows])


def with_tables(text: str) -> str:
    """A document whose tables, between ``<!-- flags of X -->`` and ``<!-- end -->``, are as the code says."""
    for line in PROGRAMS:
        before, start, rest = text.partition(f"<!-- flags of {line.program} -->\n")
        _, end, after = rest.partition("<!-- end -->")
        text = f"{before}{start}{table_of(line)}\n{end}{after}"
    return text


if __name__ == "__main__":
    DOC.write_text(with_tables(DOC.read_text("utf-8")), "utf-8")
