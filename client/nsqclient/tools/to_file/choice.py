"""Which topics are to be archived: those that are named, or those that a pattern is found in. Pure."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

from nsqclient.checks import check_name
from nsqclient.errors import InvalidName

log = logging.getLogger(__name__)

MOST_REMEMBERED = 10_000
"""Topics that are not wanted and whose names are kept, so that each is told of once."""


class Choice:
    """``pattern`` is a regular expression in Go's syntax, found anywhere in a name; the empty one is in all."""

    def __init__(self, pattern: str) -> None:
        """Raises PatternError, which says what is wrong with it."""
        self.pattern = pattern
        self._told: set[str] = set()
        self.admits: Callable[[str], bool] = _always
        """Whether the pattern is found in a name."""
        if pattern:
            from nsqcore.patterns import Pattern  # takes a while to import

            self.admits = Pattern(pattern).found_in

    def of_named(self, topics: Iterable[str]) -> list[str]:
        """Those of ``--topic`` that the pattern admits, each once, in their order."""
        admitted = []
        for topic in dict.fromkeys(topics):
            if self.admits(topic):
                admitted.append(topic)
            else:
                log.warning("skipping topic %s (doesn't match pattern %s)", topic, self.pattern)
        return admitted

    def of_discovered(self, topics: Iterable[str]) -> list[str]:
        """Those among what nsqlookupds told that are wanted, sorted; the others are logged, each once.

        What is no topic's name is left out as well: it would become the name of a file.
        """
        wanted = []
        for topic in sorted(topics):
            if not _is_name(topic):
                if self._is_news(topic):
                    log.warning("skipping topic %s (no valid name)", topic)
            elif self.admits(topic):
                wanted.append(topic)
            elif self._is_news(topic):
                log.debug("skipping topic %s (doesn't match pattern %s)", topic, self.pattern)
        return wanted

    def _is_news(self, topic: str) -> bool:
        if topic in self._told or len(self._told) >= MOST_REMEMBERED:
            return False
        self._told.add(topic)
        return True


def _always(_: str) -> bool:
    return True


def _is_name(topic: str) -> bool:
    try:
        check_name("topic", topic)
    except InvalidName:
        return False
    return True
