"""What a daemon would make of the words that a file of ``deploy`` starts it with."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nsqadmin.options
import nsqd.options
import nsqlookupd.options
from nsqcore.addresses import parse_host_port
from nsqcore.options import check_limits

PROGRAMS = {
    line.program: line
    for line in (
        nsqd.options.command_line(),
        nsqlookupd.options.command_line(),
        nsqadmin.options.COMMAND_LINE,
    )
}
_SPOKEN_OF = re.compile(r"(?<![\w-])--([a-z][\w-]*)")


def options(words: Sequence[str]) -> Any:
    """The options object; raises UsageError for a flag that the program does not have, StartError for its limits."""
    program, *flags = words
    line = PROGRAMS[Path(program).name]
    found = line.options(**line.parse(flags).options)
    check_limits(found)
    return found


def ports(found: Any) -> list[int]:
    """All ports that it would listen on."""
    addresses = [getattr(found, name, "") for name in ("tcp_address", "http_address", "https_address")]
    return [parse_host_port(address).port for address in addresses if address]


def strange_flags(file: Path) -> list[str]:
    """Whatever looks like a flag in a file, its comments too, and is none of any daemon's."""
    known = {name for line in PROGRAMS.values() for name in [*line.flags, "help"]}
    return [name for name in _SPOKEN_OF.findall(file.read_text("utf-8")) if name not in known]
