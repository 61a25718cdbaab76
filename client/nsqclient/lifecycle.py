"""The life of a producer or consumer: new, open, closing, closed; or failed, with a cause."""

from __future__ import annotations

import asyncio
import os
import sys
import traceback
import warnings
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Literal

from nsqclient.errors import Closed

_HERE = str(Path(__file__).parent) + os.sep

Phase = Literal["new", "open", "closing", "closed"]


def _debugging() -> bool:
    """Whether asyncio's debug mode is on: in development mode, by the environment, or of the running loop."""
    if sys.flags.dev_mode or os.environ.get("PYTHONASYNCIODEBUG"):
        return True
    try:
        return asyncio.get_running_loop().get_debug()
    except RuntimeError:
        return False


def _creation_site() -> str:
    """Where the user's code made the object: the innermost line outside this library."""
    for frame in reversed(traceback.extract_stack()):
        if not frame.filename.startswith(_HERE):
            return f"; it was made in {frame.filename}, line {frame.lineno}"
    return ""


class Lifecycle:
    """Opens once, closes once, and remembers why it failed."""

    def __init__(self, kind: str) -> None:
        """``kind`` names the object in texts."""
        self.phase: Phase = "new"
        self.is_open: bool = False
        """Whether it may be used."""
        self._made_at = _creation_site() if _debugging() else ""
        self._kind = kind
        self._cause: BaseException | None = None
        self._closing: asyncio.Task[None] | None = None

    def __del__(self) -> None:
        if self.phase == "open":
            text = f"a {self._kind} was never closed{self._made_at}"
            warnings.warn(text, ResourceWarning, source=self, stacklevel=2)

    def open(self) -> None:
        """Raises Closed unless it is new."""
        if self.phase != "new":
            raise Closed(f"this {self._kind} was used before; make a new one")
        self.phase = "open"
        self.is_open = self._cause is None

    def check_open(self) -> None:
        """Raises Closed, chained to the cause when it failed."""
        if not self.is_open:
            raise self.closed()

    def fail(self, cause: BaseException) -> Closed:
        """It can't go on; returns what those who wait are to be told. The first cause counts."""
        self._cause = self._cause or cause
        self.is_open = False
        return self.closed()

    @property
    def failed(self) -> bool:
        """Whether it can't go on."""
        return self._cause is not None

    def closed(self) -> Closed:
        """What to raise at whoever uses it now."""
        if self._cause is not None:
            error = Closed(f"the {self._kind} failed: {self._cause!r}")
            error.__cause__ = self._cause
            return error
        if self.phase == "new":
            return Closed(f"the {self._kind} is not open; use it with 'async with'")
        return Closed(f"the {self._kind} is closed")

    async def close(
        self, work: Callable[[], Coroutine[object, object, None]], hurry: Callable[[], None]
    ) -> None:
        """Runs ``work`` once, to its end; later calls wait for it.

        ``work`` must be bounded. When the caller is cancelled, ``hurry`` is called to cut its waiting
        short, and the cancellation goes on once it has ended.
        """
        if self.phase == "new":
            self.phase = "closed"
        if self.phase == "closed":
            return
        if self._closing is None:
            self.phase = "closing"
            self.is_open = False
            self._closing = asyncio.get_running_loop().create_task(work())
        cancelled: asyncio.CancelledError | None = None
        while not self._closing.done():
            try:
                await asyncio.wait([self._closing])
            except asyncio.CancelledError as e:
                cancelled = e
                hurry()
        self.phase = "closed"
        if cancelled is not None:
            raise cancelled
        self._closing.result()
