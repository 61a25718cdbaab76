"""Reads systemd's units as far as ours go: sections, continued lines, and the words of a command."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

_VARIABLE = re.compile(r"\$\{(\w+)\}")
_WORD = re.compile(r"\$(\w+)")

SPECIFIERS = {"%H": "host", "%S": "/var/lib"}
"""What they stand for in a system unit; ``%i`` is the instance."""


def settings(unit: Path) -> dict[str, list[str]]:
    """The values of each key of a unit, in their order; keys of different sections have different names."""
    text = re.sub(r"^[#;].*\n", "", unit.read_text("utf-8"), flags=re.MULTILINE).replace("\\\n", " ")
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        if line.strip() and not line.startswith("["):
            key, equals, value = line.partition("=")
            assert equals, f"{unit.name}: no setting: {line}"
            found.setdefault(key, []).append(value.strip())
    return found


def variables(file: Path) -> dict[str, str]:
    """What an environment file sets."""
    lines = [line for line in file.read_text("utf-8").splitlines() if line and not line.startswith("#")]
    return {name: value for name, _, value in (line.partition("=") for line in lines)}


def command(unit: Path, environment: Mapping[str, str], instance: int = 0) -> list[str]:
    """The words that systemd would start: ``environment`` is what the environment file says.

    ``${NAME}`` is replaced within a word; a word ``$NAME`` becomes as many as its value has, none included.
    """
    found = settings(unit)
    (line,) = found["ExecStart"]
    own = dict(value.split("=", 1) for value in found.get("Environment", []))
    known = {name: _specified(value, instance) for name, value in own.items()} | dict(environment)
    words: list[str] = []
    for word in _specified(line, instance).split():
        if (whole := _WORD.fullmatch(word)) is not None:
            words += known.get(whole[1], "").split()
        else:
            words.append(_VARIABLE.sub(lambda part: known.get(part[1], ""), word))
    return words


def _specified(text: str, instance: int) -> str:
    for name, meaning in {**SPECIFIERS, "%i": str(instance)}.items():
        text = text.replace(name, meaning)
    assert "%" not in text, f"a specifier that is not known here: {text}"
    return text
