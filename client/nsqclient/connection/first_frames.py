"""Reads the answers of the opening dialogue one by one: behind each a layer may begin, whose bytes are no frames."""

from __future__ import annotations

from nsqcore.wire.frames import HEAD, HEARTBEAT, FrameError, wrong_size

MOST = 1 << 20
"""Bytes that may come before the dialogue is over."""


class FirstFrames:
    """Bytes in, one answer out; the rest stays as it is until it is known what it means."""

    def __init__(self) -> None:
        self._rest = b""
        self._answered = False

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """Heartbeats, and up to one other frame behind them until :meth:`go_on`; raises FrameError."""
        self._rest += data
        if len(self._rest) > MOST:
            raise FrameError(f"more than {MOST} bytes before anything was asked for")
        frames = []
        while len(self._rest) >= HEAD.size and not self._answered:
            size, kind = HEAD.unpack_from(self._rest)
            if not 4 <= size <= MOST:
                raise wrong_size(self._rest[:4], size, MOST)
            if len(self._rest) < size + 4:
                break
            payload = self._rest[HEAD.size : size + 4]
            self._rest = self._rest[size + 4 :]
            self._answered = payload != HEARTBEAT
            frames.append((kind, payload))
        return frames

    def go_on(self) -> None:
        """The next answer is wanted."""
        self._answered = False

    def take(self) -> bytes:
        """Bytes that came behind the last answer; they are gone from here."""
        rest, self._rest = self._rest, b""
        return rest
