"""A publish that is not over yet: its OK may leave when every queue that it went to has stored it."""

from __future__ import annotations

from collections.abc import Callable


class Ticket:
    """Counts the writes that a publish waits for.

    Publishing returns None when all is done, or a ticket. Who answers the publisher then asks
    :meth:`when_done` to be told; so answers can be held back without a task or a future per message.
    """

    __slots__ = ("_left", "_tell", "error")

    def __init__(self) -> None:
        self.error: OSError | None = None
        """The first failure."""
        self._left = 0
        self._tell: Callable[[], None] | None = None

    @property
    def done(self) -> bool:
        """Whether nothing is waited for any more."""
        return not self._left

    def wait_for(self) -> Callable[[OSError | None], None]:
        """One write more to wait for; the callback is to be called with its outcome."""
        self._left += 1
        return self._settle

    def follow(self, other: Ticket) -> None:
        """Waits for another ticket too."""
        settle = self.wait_for()
        other.when_done(lambda: settle(other.error))

    def when_done(self, tell: Callable[[], None]) -> None:
        """Calls ``tell`` once all writes are over: at once if they are."""
        self._tell = tell
        if self.done:
            tell()

    def _settle(self, error: OSError | None) -> None:
        self._left -= 1
        if error is not None and self.error is None:
            self.error = error
        if not self._left and self._tell is not None:
            self._tell()
