"""What clients said, as text that tests compare with patterns."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import ClassVar, overload


class Commands(Sequence[str]):
    """Commands as text, in their order; equal to a list of patterns in which ``*`` stands for anything.

    ::

        assert cluster.commands(0) == ["IDENTIFY", "SUB t c", "RDY 1", "FIN *"]
    """

    def __init__(self, texts: Iterable[str]) -> None:
        self._texts = tuple(texts)

    @overload
    def __getitem__(self, at: int) -> str: ...
    @overload
    def __getitem__(self, at: slice) -> Commands: ...
    def __getitem__(self, at: int | slice) -> str | Commands:
        return Commands(self._texts[at]) if isinstance(at, slice) else self._texts[at]

    def __len__(self) -> int:
        return len(self._texts)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, str) or not isinstance(other, Sequence):
            return NotImplemented
        return len(self) == len(other) and all(map(matches, self._texts, other))

    __hash__: ClassVar[None] = None  # type: ignore[assignment]  # equality with patterns is not an equivalence

    def matching(self, *patterns: str) -> Commands:
        """Those that match one of the patterns."""
        return Commands(text for text in self if any(matches(text, pattern) for pattern in patterns))

    @property
    def verbs(self) -> list[str]:
        """The same, without arguments."""
        return [text.partition(" ")[0] for text in self]

    def __repr__(self) -> str:
        return repr(list(self._texts))


def matches(text: str, pattern: str) -> bool:
    """Whether the pattern, in which ``*`` stands for any run of characters, is all of the text."""
    return (
        text == pattern
        or re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), text, re.DOTALL) is not None
    )


def fits(command: str, pattern: str) -> bool:
    """As :func:`matches`; the pattern may also be a verb alone, or the first words."""
    return matches(command, pattern) or command.startswith(f"{pattern} ")


def shown(body: bytes) -> str:
    """A body as part of a command's text."""
    return body.decode("utf-8", "backslashreplace")
