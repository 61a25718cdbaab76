"""Regular expressions in Go's syntax, found anywhere in a name, by the library whose syntax Go took over.

Not Python's ``re``: its syntax is another one, and ``(a+)+$`` keeps it busy for hours with the name of a topic
while everything else waits. RE2 takes time in proportion to the name whatever the pattern is, and refuses
patterns that need more than 8 MiB.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

import re2

MOST_CHARACTERS: Final = 10_000
"""Of one pattern; longer ones are refused before they cost time."""


class PatternError(ValueError):
    """It does not compile; the text says why, in RE2's words."""


class Pattern:
    """One compiled pattern. Raises PatternError for what Go would not compile, or what is far too large."""

    def __init__(self, text: str) -> None:
        if len(text) > MOST_CHARACTERS:
            raise PatternError("expression too large")
        options = re2.Options()
        options.log_errors = False  # else it writes to stderr by itself
        try:
            self._compiled: Any = re2.compile(text, options)
        except re2.error as e:
            raise PatternError(e.args[0].decode("utf-8", "replace")) from None
        except UnicodeEncodeError:
            raise PatternError("invalid UTF-8") from None
        self.text = text

    def __repr__(self) -> str:
        return f"Pattern({self.text!r})"

    def found_in(self, name: str) -> bool:
        """Whether it matches somewhere in ``name``."""
        return self._compiled.search(name) is not None


@lru_cache(maxsize=4096)
def compiled(text: str) -> Pattern:
    """The pattern; thousands of clients with the same permissions share it. Raises PatternError."""
    return Pattern(text)
