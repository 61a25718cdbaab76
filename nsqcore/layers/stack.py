"""Codecs on top of each other, as one: the first next to the socket, the last next to the protocol."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from nsqcore.layers.codec import Codec


def _nobody(*_: object) -> None:
    """In the place of a connection that is gone."""


class Stack:
    """A connection's codecs. Pure, like them."""

    def __init__(self, decoded: Callable[[], None], send: Callable[[bytes], None]) -> None:
        """``send`` takes what codecs say themselves; ``decoded`` is told at every step of decoding, before its piece is handed on: it may push."""
        self._codecs: list[Codec] = []
        self._downwards: list[Codec] = []  # the same, the last one first
        self._decoded: Callable[..., None] = decoded
        self.watched = False
        """Whether ``decoded`` wants to be told."""
        self._send: Callable[..., None] = send

    def push(self, codec: Codec) -> None:
        """One codec more, next to the protocol."""
        self._codecs.append(codec)
        self._downwards.insert(0, codec)

    def pop(self) -> None:
        """Takes the one off that was pushed last."""
        self._codecs.pop()
        del self._downwards[0]

    def clear(self) -> None:
        """Lets go of all, and of who is told."""
        self._decoded = self._send = _nobody
        self._codecs.clear()
        self._downwards.clear()

    def encode(self, data: bytes) -> bytes:
        """``data`` as the socket sends it."""
        for codec in self._downwards:
            data = codec.encode(data)
        return data

    def decode(self, data: bytes) -> Iterator[bytes]:
        """What the protocol gets of the socket's ``data``; lazy, raises what codecs do."""
        return self._decode(data, 0)

    def decode_last(self, data: bytes) -> Iterator[bytes]:
        """As :meth:`decode`, of ``data`` that went through all codecs but the last."""
        return self._decode(data, len(self._codecs) - 1)

    def _decode(self, data: bytes, level: int) -> Iterator[bytes]:
        for piece in self._codecs[level].decode(data):
            if self.watched:
                self._decoded()
            # Looked at for each piece: the protocol may have pushed a codec because of the one before.
            if level + 1 < len(self._codecs):
                yield from self._decode(piece, level + 1)
            else:
                yield piece
        if self.watched:
            self._decoded()
        self.reply()

    def reply(self) -> None:
        """Sends what codecs have to say, each through those below it."""
        for level, codec in enumerate(self._codecs):
            data = codec.reply()
            if data:
                self._say(data, level)

    def end(self) -> None:
        """Sends what ends each codec's stream, from the last on."""
        for level in range(len(self._codecs) - 1, -1, -1):
            self._say(self._codecs[level].end(), level)

    def _say(self, data: bytes, level: int) -> None:
        if data:
            for codec in reversed(self._codecs[:level]):
                data = codec.encode(data)
            self._send(data)
