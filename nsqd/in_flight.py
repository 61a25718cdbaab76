"""One client's outstanding messages: a FIN is one dictionary pop, a time-out costs nothing until it happens.

The dictionary keeps the order of delivery, and with one time-out per client the oldest message is due
first. So deadlines are not kept per message but per *generation*: all messages delivered within a short
span share the deadline of the last of them. A generation begins with a *mark*, an entry whose key is its
deadline in 8 bytes (ids have 16, so the two can't be confused), followed by its messages. That costs one
entry per generation, and no message is ever due too early; it is late by at most the span.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from heapq import heappop, heappush
from struct import Struct

from nsqd.frames import id_of

_DEADLINE = Struct(">d")
_MARK_SIZE = 8
SHORTEST_SPAN = 0.05


class InFlight:
    """What one client holds. Times are seconds of the loop's monotonic clock.

    ``timeout`` is the client's message time-out, ``longest`` the limit that TOUCH can't pass. Both may be 0 or
    less, as ``--msg-timeout`` and ``--max-msg-timeout`` may: then a message is due after the shortest span.
    """

    __slots__ = ("_capped", "_delivered", "_longest", "_open_until", "_span", "_timeout", "marks", "messages")

    def __init__(self, timeout: float, longest: float) -> None:
        self.messages: dict[bytes, bytes] = {}
        """Frame by id, in order of deadline; also the marks. Popping an id from here is all that FIN does."""
        self.marks = 0
        self._timeout = timeout = max(timeout, 0.0)
        self._longest = longest
        # 256 bounds the marks of a client that holds on to one message.
        self._span = max(SHORTEST_SPAN, timeout / 256)
        self._open_until = 0.0
        # The rest is for clients that TOUCH: when each message was delivered (made at the first TOUCH, kept
        # from then on), and the messages whose deadline the limit cut short, a heap of (deadline, id).
        self._delivered: dict[bytes, float] | None = None
        self._capped: list[tuple[float, bytes]] = []

    def __len__(self) -> int:
        return len(self.messages) - self.marks

    def add(self, run: list[bytes], now: float) -> None:
        """Frames delivered now."""
        if now >= self._open_until:
            self._open(now)
        if len(run) == 1:
            self.messages[run[0][18:34]] = run[0]
        else:
            self.messages.update({f[18:34]: f for f in run})
        if self._delivered is not None:
            self._note_delivery(run, now)

    def pop(self, message_id: bytes) -> bytes | None:
        """Takes a message out; None when it is not here."""
        return self.messages.pop(message_id, None) if len(message_id) != _MARK_SIZE else None

    def touch(self, message_id: bytes, now: float) -> float | None:
        """Gives a message its time again, within the limit; returns the deadline, None when it is not here."""
        if self._delivered is None:
            self._delivered = dict(self._estimate_deliveries())
        frame = self.pop(message_id)
        if frame is None:
            return None
        if now >= self._open_until:
            self._open(now)
        self.messages[message_id] = frame
        deadline, limit = now + self._timeout, self._delivered[message_id] + self._longest
        if limit < deadline:
            deadline = limit
            heappush(self._capped, (limit, message_id))
        return deadline

    def expired(self, now: float) -> list[bytes]:
        """Takes out the frames whose time is over."""
        found: list[bytes] = []
        while self._capped and self._capped[0][0] <= now:
            deadline, message_id = heappop(self._capped)
            delivered = (
                self._delivered[message_id] if self._delivered and message_id in self.messages else None
            )
            # Else it was finished, or delivered anew.
            if delivered is not None and delivered + self._longest <= deadline:
                found.append(self.messages.pop(message_id))
        over: list[bytes] = []
        for key, frame in self.messages.items():
            if len(key) != _MARK_SIZE:
                found.append(frame)
            elif _DEADLINE.unpack(key)[0] > now:
                break
            else:
                self.marks -= 1
            over.append(key)
        for key in over:
            del self.messages[key]
        return found

    def next_deadline(self) -> float | None:
        """When :meth:`expired` should be asked next; None when nothing is out."""
        self._prune()
        first = next(iter(self.messages), None)
        if first is None or not len(self):
            return None
        deadline: float = _DEADLINE.unpack(first)[0]
        return min(deadline, self._capped[0][0]) if self._capped else deadline

    def clear(self) -> list[bytes]:
        """Takes out everything, oldest first."""
        frames = [frame for key, frame in self.messages.items() if len(key) != _MARK_SIZE]
        self.messages.clear()
        self.marks = 0
        self._open_until = 0.0
        self._delivered = None
        self._capped.clear()
        return frames

    def _open(self, now: float) -> None:
        """Begins a generation."""
        newest = next(reversed(self.messages), None)
        if newest is not None and len(newest) == _MARK_SIZE:  # nothing is left of the one before
            del self.messages[newest]
            self.marks -= 1
        self._prune()
        self._open_until = now + self._span
        self.messages[_DEADLINE.pack(self._open_until + self._timeout)] = b""
        self.marks += 1

    def _prune(self) -> None:
        """Drops generations at the front of which every message is finished."""
        if self.marks < 2:
            return
        empty: list[bytes] = []
        for key in self.messages:
            if len(key) != _MARK_SIZE:
                break
            empty.append(key)
        for key in empty[:-1]:
            del self.messages[key]
            self.marks -= 1

    def _estimate_deliveries(self) -> Iterator[tuple[bytes, float]]:
        """When each message was delivered at the latest, by its generation."""
        delivered = 0.0
        for key in self.messages:
            if len(key) == _MARK_SIZE:
                delivered = _DEADLINE.unpack(key)[0] - self._timeout
            else:
                yield key, delivered

    def _note_delivery(self, run: Iterable[bytes], now: float) -> None:
        assert self._delivered is not None
        self._delivered.update(dict.fromkeys(map(id_of, run), now))
        if len(self._delivered) > 2 * len(self.messages) + 1000:  # finished ones are not taken out one by one
            self._delivered = {key: at for key, at in self._delivered.items() if key in self.messages}
