"""Regular expressions of auth servers, found anywhere in the name of a topic or channel, as Go finds them.

Not Python's ``re``: its syntax is another one, and ``(a+)+$`` keeps it busy for hours with the name of a topic
while everything else waits. A pattern becomes a small machine all of whose states are followed at once, so
that a search takes steps in proportion to the name and to the pattern, whatever the pattern is.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from nsqd.pattern_syntax import WORD, Choice, Node, PatternError, Place, Sequence, Set, parse

MOST_STATES: Final = 10_000
"""Of one pattern, and its most characters; larger ones are refused."""
_LONGEST = 64  # characters of a name: more repetitions than that make no difference

_Step = tuple[int, str, tuple[int, ...]]
"""A state: characters that lead on (0: none is needed), a place it has to be at (or empty), where it leads."""


class Pattern:
    """One compiled pattern. Raises PatternError for what Go would not compile, or what is far too large."""

    def __init__(self, text: str) -> None:
        if len(text) > MOST_STATES:
            raise PatternError("expression too large")
        self.text = text
        self._steps: list[_Step] = [(0, "", ())]  # state 0: found
        self._start = self._build(parse(text), 0)

    def __repr__(self) -> str:
        return f"Pattern({self.text!r})"

    def _add(self, mask: int, place: str, *leads_to: int) -> int:
        if len(self._steps) >= MOST_STATES:
            raise PatternError("expression too large")
        self._steps.append((mask, place, leads_to))
        return len(self._steps) - 1

    def _build(self, node: Node, then: int) -> int:
        """The state that looks for ``node`` and goes on with ``then``."""
        if isinstance(node, Set):
            # What matches nothing leads nowhere; a mask of 0 would mean that no character is needed.
            return self._add(node.mask, "", then) if node.mask else self._add(0, "")
        if isinstance(node, Place):
            return self._add(0, node.kind, then)
        if isinstance(node, Sequence):
            for part in reversed(node.parts):
                then = self._build(part, then)
            return then
        if isinstance(node, Choice):
            return self._add(0, "", *[self._build(part, then) for part in node.parts])
        least = min(node.least, _LONGEST + 1)
        if node.most is None:
            again = self._add(0, "")
            self._steps[again] = (0, "", (self._build(node.part, again), then))
            then = again
        else:
            last = then
            for _ in range(min(node.most, _LONGEST + 1) - least):
                then = self._add(0, "", self._build(node.part, then), last)
        for _ in range(least):
            then = self._build(node.part, then)
        return then

    def found_in(self, name: str) -> bool:
        """Whether it matches somewhere in ``name``, which is ASCII."""
        steps, start = self._steps, self._start
        here: list[int] = []  # states that were reached with the characters so far
        for at in range(len(name) + 1):
            places = _places(name, at)
            bit = 1 << ord(name[at]) if at < len(name) else 0
            todo, seen = [*here, start], set[int]()
            here = []
            while todo:
                state = todo.pop()
                if state in seen:
                    continue
                if not state:
                    return True
                seen.add(state)
                mask, place, leads_to = steps[state]
                if mask:
                    if mask & bit:
                        here += leads_to
                elif not place or place in places:
                    todo += leads_to
        return False


def _places(name: str, at: int) -> set[str]:
    """What the gap in front of the character at ``at`` is."""
    before = at > 0 and bool(WORD >> ord(name[at - 1]) & 1)
    behind = at < len(name) and bool(WORD >> ord(name[at]) & 1)
    places = {"b" if before != behind else "B"}
    if at == 0:
        places.add("begin")
    if at == len(name):
        places.add("end")
    return places


@lru_cache(maxsize=4096)
def compiled(text: str) -> Pattern:
    """The pattern; thousands of clients with the same permissions share it. Raises PatternError."""
    return Pattern(text)
