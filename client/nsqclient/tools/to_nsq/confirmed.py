"""Remembers which destinations have a message that others lack, so that its next attempt is for these alone."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

from nsqclient.consumer.message import Message

REMEMBERED = 100_000
"""Messages that are remembered; of one that is forgotten every destination gets another copy."""
NOWHERE: frozenset[str] = frozenset()


class Confirmed:
    """Of the messages that some destinations have confirmed, and not all. This process knows; the next does not."""

    def __init__(self, remembered: int = REMEMBERED) -> None:
        self._remembered = remembered
        self._places: OrderedDict[tuple[str, bytes], frozenset[str]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._places)

    def places(self, message: Message) -> frozenset[str]:
        """Where it is. Not even a look costs anything for a message that comes for the first time."""
        if message.attempts == 1 or not self._places:
            return NOWHERE
        return self._places.get((message.node, message.id_bytes), NOWHERE)

    def note(self, message: Message, places: Iterable[str]) -> None:
        """It is in ``places``, besides those it was in."""
        name = (message.node, message.id_bytes)
        before = self._places.pop(name, NOWHERE)
        after = before.union(places)
        if after:
            self._places[name] = after
            if len(self._places) > self._remembered:
                self._places.popitem(last=False)

    def forget(self, message: Message) -> None:
        """It is everywhere."""
        if self._places:
            self._places.pop((message.node, message.id_bytes), None)
