"""What the blocking producer and consumer share: one life, closed at the interpreter's exit at the latest."""

from __future__ import annotations

import atexit
import os
import threading
from typing import Protocol

from nsqclient.blocking.portal import Portal
from nsqclient.errors import Closed


class Closable(Protocol):
    """What is closed at exit."""

    def close(self) -> None:
        """Ends it in order."""


class Shell:
    """The portal of one object: opened once, closed once."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.lock: threading.Lock = threading.Lock()
        self.portal: Portal | None = None
        self.closed: bool = False

    def get(self) -> Portal:
        """The running loop; raises Closed when it is not open, or was opened by a parent process."""
        if self.portal is None:
            raise Closed(
                f"the {self.kind} is closed"
                if self.closed
                else f"the {self.kind} is not open; use it with 'with'"
            )
        if self.portal.foreign:
            raise Closed(f"this {self.kind} was opened before fork(); open one in this process")
        return self.portal

    def open(self, owner: Closable) -> Portal:
        """Starts the loop; raises Closed when it was used before."""
        with self.lock:
            if self.portal is not None or self.closed:
                raise Closed(f"this {self.kind} was used before; make a new one")
            self.portal = Portal(f"nsqclient {self.kind}")
        _open.add(owner)
        return self.portal

    def take(self, owner: Closable) -> Portal | None:
        """The loop, for the one who is to end it; None for all but the first, and in a child process."""
        portal = self.portal
        if portal is not None and portal.foreign:
            return None  # and the lock, which a thread of the parent may have held, is not touched
        with self.lock:
            portal, self.portal = self.portal, None
            self.closed = True
        _open.discard(owner)
        return portal


_open: set[Closable] = set()
"""Kept alive: one whose owner forgot it is closed at exit as well."""
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_open.clear)


@atexit.register
def _close_all() -> None:
    """What is still pending is sent, and what is still held goes back: daemon threads live until now."""
    for owner in list(_open):
        owner.close()
