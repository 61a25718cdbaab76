"""The tables of flags in the docs: ``python -m tests.support.flag_docs`` writes them anew.

``docs/configuration.md`` has those of the daemons, ``docs/tools.md`` those of the tools and of the client options.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import nsqadmin.options
import nsqd.options
import nsqlookupd.options
from nsqclient.tools.common.client_options import KNOWN
from nsqclient.tools.common.tool import Tool
from nsqclient.tools.common.usage import groups
from nsqcore.command_line import CommandLine
from nsqcore.options import Flag
from tests.support.tools import PACKAGES

DOCS = Path(__file__).parents[2] / "docs"
DOC = DOCS / "configuration.md"
TOOLS_DOC = DOCS / "tools.md"
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
    shown = str(flag.default).replace("\n", "\\n")
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


@cache
def tools() -> Mapping[str, Tool]:
    """The tools that there are, by name."""
    found = {}
    for name, package in PACKAGES.items():
        module = f"nsqclient.tools.{package}.tool"
        if importlib.util.find_spec(f"nsqclient.tools.{package}") and importlib.util.find_spec(module):
            found[name] = importlib.import_module(module).TOOL
    return found


def table_of_tool(tool: Tool) -> str:
    """The table of a tool's flags, in the order and groups of its help."""
    rows = ["| flag | default | meaning |", "| --- | --- | --- |"]
    for flags in groups(tool.options).values():
        rows += [_tool_row(flag) for flag in flags]
    return "\n".join(rows)


def _tool_row(flag: Flag) -> str:
    cells = _row(flag).replace(r"\|", "\0").split("|")
    return "|".join([cells[0], *cells[1:2], *cells[3:]]).replace("\0", r"\|")


def table_of_client_options() -> str:
    """The table of ``--consumer-opt`` and ``--producer-opt``."""
    rows = [f"| `{name}` | {known.allowed} | {known.meaning} |" for name, known in KNOWN.items()]
    return "\n".join(["| option | values | meaning |", "| --- | --- | --- |", *rows])


def tables() -> Mapping[str, str]:
    """All tables, by what is written in the comment before them."""
    return {
        **{f"flags of {line.program}": table_of(line) for line in PROGRAMS},
        **{f"flags of {name}": table_of_tool(tool) for name, tool in tools().items()},
        "client options": table_of_client_options(),
    }


def with_tables(text: str) -> str:
    """A document whose tables, between ``<!-- flags of X -->`` and ``<!-- end -->``, are as the code says."""
    for name, table in tables().items():
        before, start, rest = text.partition(f"<!-- {name} -->\n")
        if start:
            _, end, after = rest.partition("<!-- end -->")
            text = f"{before}{start}{table}\n{end}{after}"
    return text


if __name__ == "__main__":
    for page in (DOC, TOOLS_DOC):
        page.write_text(with_tables(page.read_text("utf-8")), "utf-8")
