"""What ``--help`` prints: what a tool does, examples, and its flags in groups.

The flags come in the order of their fields, a group for each class that declares some: the tool's own dataclass
first, then its mixins from the left to the right. A mixin says what is above its group by a class variable
``heading``; the flags of one without stand among the tool's own.
"""

from __future__ import annotations

from dataclasses import fields
from inspect import get_annotations
from textwrap import wrap
from typing import Any

from nsqcore.options import Flag, flags_of

OWN, LAST = "Flags", "About the program"
"""The headings of a tool's own flags, and of those that all programs have."""
VERSION = "  --version\n        print the version and exit"
STATUSES = (
    "Exit status: 0 done or told to end by a signal, 1 failed (the reason is on stderr), 2 not understood."
)
WIDTH = 110
"""Columns."""
INDENT = " " * 8


def usage_of(about: str, options: type[Any], called: str) -> str:
    """The whole text, from ``Usage of <called>:`` on."""
    parts = [f"Usage of {called}:", "", about.strip()]
    found = groups(options)
    found.setdefault(LAST, [])
    for heading, flags in found.items():
        if flags or heading == LAST:
            parts += ["", f"{heading}:", *map(_lines, flags)]
    return "\n".join([*parts, VERSION, "", STATUSES, ""])


def _lines(flag: Flag) -> str:
    """A flag and what it means, as Go prints it, but no wider than ``WIDTH``."""
    head, _, text = flag.usage().partition("\n")
    if len(flag.name) == 1:
        head = head.replace("--", "-", 1)
    return "\n".join([head, *wrap(text.strip(), WIDTH, initial_indent=INDENT, subsequent_indent=INDENT)])


def groups(options: type[Any]) -> dict[str, list[Flag]]:
    """The flags by heading, those of the tool's own first and those of ``LAST`` last."""
    found: dict[str, list[Flag]] = {OWN: []}
    flags = {flag.field: flag for flag in flags_of(options)}
    for kind in options.__mro__:
        heading = kind.__dict__.get("heading", OWN)
        own = get_annotations(kind)
        for field in fields(options):
            if field.name in own and field.name in flags:
                found.setdefault(heading, []).append(flags.pop(field.name))
    last = found.pop(LAST, None)
    return found if last is None else {**found, LAST: last}
