"""Protocol V1 of one connection: bytes in, answers out, and what they change in the registry.

::

    magic ──"  V1"──> command ──IDENTIFY──> size ──> body ──> command
      │                  │ ^                  │        │
      │                  └─┘ PING, REGISTER,  │        │
      │                      UNREGISTER       │        │
      └──────────────────┴── anything else ───┴────────┴──> over

A command is a line; IDENTIFY is followed by a 4-byte size and that many bytes of JSON. Every answer has
its size before it. Every error is fatal: its text is the last answer, and the client is forgotten.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from json import JSONDecodeError
from typing import ClassVar

from nsqcore.durations import go_duration
from nsqcore.names import valid_name
from nsqcore.wire.lookup import MAGIC_V1, SIZE, encode_answer
from nsqlookupd.peer import BadPeer, decode_peer
from nsqlookupd.registry import CLIENT, Client, Registry

log = logging.getLogger(__name__)

MAX_LINE = 16 << 10
"""Bytes of a command line, its newline included: far more than two names need."""

MAX_BODY = 1 << 20
"""Bytes of an IDENTIFY body."""

_LONGEST_SHOWN = 200
"""Characters of an error in the log; the client gets back what it sent in full."""

_BLANKS = b" \t\n\v\f\r"


class _Refused(Exception):
    """What a client did is answered with an error, and ends the connection."""

    def __init__(self, code: str, text: str, cause: str = "") -> None:
        """``cause`` is for the log."""
        super().__init__(f"{code} {text}")
        self.cause = cause


class Session:
    """One client, from its magic to its end. ``greeting`` is the JSON that answers IDENTIFY."""

    def __init__(self, registry: Registry, remote_address: str, greeting: bytes) -> None:
        self.registry = registry
        self.remote = remote_address
        self.greeting = greeting
        self.client: Client | None = None
        self.greeted = False
        """The magic has arrived."""
        self.over = False
        """An error has been answered; what else arrives is ignored."""
        self.died_of = ""
        """That error, for the log."""
        self._buffer = bytearray()
        self._answers: list[bytes] = []
        self._size = 0
        self._step: Callable[[], bool] = self._magic

    def feed(self, data: bytes) -> bytes:
        """Takes what arrived; returns what to send. The connection is to be closed when it is ``over``."""
        if self.over:
            return b""
        self._buffer += data
        try:
            while self._step():
                pass
        except _Refused as e:
            self._refuse(e)
        return self._take_answers()

    def feed_eof(self) -> bytes:
        """The client sends no more; returns what to send before closing."""
        if self.over:
            return b""
        if self._step == self._magic:
            reason = self._cut_short()
            level = logging.ERROR if self._buffer else logging.INFO  # the latter is what port checks do
            log.log(level, "failed to read protocol version - %s", reason)
        elif self._step == self._body_size:
            self._refuse(_Refused("E_BAD_BODY", "IDENTIFY failed to read body size", self._cut_short()))
        elif self._step == self._body:
            self._refuse(_Refused("E_BAD_BODY", "IDENTIFY failed to read body", self._cut_short()))
        return self._take_answers()

    def _cut_short(self) -> str:
        return "unexpected EOF" if self._buffer else "EOF"

    def end(self) -> None:
        """Forgets the client; to be called when the connection has ended, in whatever way. Twice is fine."""
        self.over = True
        if self.client is not None:
            for entry in self.registry.remove(self.client):
                log.info("DB: client(%s) UNREGISTER %s", self.remote, entry)
            self.client = None

    def _take_answers(self) -> bytes:
        answers = b"".join(map(encode_answer, self._answers))
        self._answers.clear()
        return answers

    def _refuse(self, refusal: _Refused) -> None:
        text = str(refusal).encode("utf-8", "surrogateescape")
        shown = text.decode("utf-8", "backslashreplace")
        if len(shown) > _LONGEST_SHOWN:
            shown = shown[:_LONGEST_SHOWN] + "..."
        cause = f" - {refusal.cause}" if refusal.cause else ""
        log.error("[%s] - %s%s", self.remote, shown, cause)
        self.died_of = shown
        self._answers.append(text)
        self._buffer.clear()
        self.end()

    # The steps: each takes its part of the buffer, and returns False when that has not arrived yet.

    def _take(self, size: int) -> bytes:
        part = bytes(self._buffer[:size])
        del self._buffer[:size]
        return part

    def _magic(self) -> bool:
        if len(self._buffer) < len(MAGIC_V1):
            return False
        magic = self._take(len(MAGIC_V1))
        shown = magic.decode("utf-8", "backslashreplace")
        log.info("CLIENT(%s): desired protocol magic '%s'", self.remote, shown)
        if magic != MAGIC_V1:
            log.error("client(%s) bad protocol magic '%s'", self.remote, shown)
            self._answers.append(b"E_BAD_PROTOCOL")
            self.over = True
            return False
        self.greeted = True
        self._step = self._command
        return True

    def _command(self) -> bool:
        end = self._buffer.find(b"\n", 0, MAX_LINE)
        if end < 0:
            if len(self._buffer) >= MAX_LINE:
                raise _Refused("E_INVALID", f"command line exceeds {MAX_LINE} bytes")
            return False
        line = self._take(end + 1).strip(_BLANKS).decode("utf-8", "surrogateescape")
        verb, *words = line.split(" ")
        handler = self._commands.get(verb)
        if handler is None:
            raise _Refused("E_INVALID", f"invalid command {verb}")
        handler(self, words)
        return True

    def _body_size(self) -> bool:
        if len(self._buffer) < SIZE.size:
            return False
        (self._size,) = SIZE.unpack(self._take(SIZE.size))
        if not 0 <= self._size <= MAX_BODY:
            raise _Refused("E_BAD_BODY", f"IDENTIFY body size {self._size} is not in 0 to {MAX_BODY}")
        self._step = self._body
        return True

    def _body(self) -> bool:
        if len(self._buffer) < self._size:
            return False
        try:
            peer = decode_peer(self._take(self._size), self.remote)
        except ValueError as e:
            cause = f"invalid JSON at byte {e.pos}" if isinstance(e, JSONDecodeError) else str(e)
            raise _Refused("E_BAD_BODY", "IDENTIFY failed to decode JSON body", cause) from None
        except BadPeer:
            raise _Refused("E_BAD_BODY", "IDENTIFY missing fields") from None
        self.client = self.registry.add(peer)
        log.info(
            "CLIENT(%s): IDENTIFY Address:%s TCP:%d HTTP:%d Version:%s",
            self.remote,
            peer.broadcast_address,
            peer.tcp_port,
            peer.http_port,
            peer.version,
        )
        log.info("DB: client(%s) REGISTER %s", self.remote, CLIENT)
        self._answers.append(self.greeting)
        self._step = self._command
        return True

    # The commands.

    def _ping(self, words: list[str]) -> None:
        if self.client is not None:
            silence = self.registry.ping(self.client)
            log.debug("CLIENT(%s): pinged (last ping %s)", self.remote, go_duration(silence))
        self._answers.append(b"OK")

    def _identify(self, words: list[str]) -> None:
        if self.client is not None:
            raise _Refused("E_INVALID", "cannot IDENTIFY again")
        self._step = self._body_size

    def _register(self, words: list[str]) -> None:
        client = self._identified()
        for entry in self.registry.register(client, *_names("REGISTER", words)):
            log.info("DB: client(%s) REGISTER %s", self.remote, entry)
        self._answers.append(b"OK")

    def _unregister(self, words: list[str]) -> None:
        client = self._identified()
        topic, channel = _names("UNREGISTER", words)
        for entry in self.registry.unregister(client, topic, channel):
            if entry.category == "channel" and not channel:
                log.warning("client(%s) unexpected UNREGISTER %s", self.remote, entry)
            else:
                log.info("DB: client(%s) UNREGISTER %s", self.remote, entry)
        self._answers.append(b"OK")

    def _identified(self) -> Client:
        if self.client is None:
            raise _Refused("E_INVALID", "client must IDENTIFY")
        return self.client

    _commands: ClassVar[dict[str, Callable[[Session, list[str]], None]]] = {
        "PING": _ping,
        "IDENTIFY": _identify,
        "REGISTER": _register,
        "UNREGISTER": _unregister,
    }


def _names(verb: str, words: list[str]) -> tuple[str, str]:
    """Topic and channel of a command; the latter may be left out, or be empty."""
    if not words:
        raise _Refused("E_INVALID", f"{verb} insufficient number of params")
    topic, channel = words[0], words[1] if len(words) > 1 else ""
    if not valid_name(topic):
        raise _Refused("E_BAD_TOPIC", f"{verb} topic name '{topic}' is not valid")
    if channel and not valid_name(channel):
        raise _Refused("E_BAD_CHANNEL", f"{verb} channel name '{channel}' is not valid")
    return topic, channel
