"""The fast lane of HTTP: ``POST /pub`` and ``/mpub`` answered here, everything else by the API's server.

The lane takes HTTP/1.1 requests with exactly one Content-Length and no Transfer-Encoding, Expect or Upgrade,
pipelined or not. At the first request of another kind the connection is handed to
:mod:`nsqcore.http_connection`, with the bytes of that request untouched, for good.

Clients repeat their heads to the byte, so what httptools found in one is remembered: a head seen before
costs a look-up in a dictionary (http-pub: 1.5 µs less per request).
"""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import Callable
from typing import cast

from nsqcore.errors import HttpError
from nsqcore.last_words import close_behind, close_gently
from nsqd import bulk
from nsqd.broker import Broker
from nsqd.http import publish
from nsqd.http.head import Head, closing, ok, read_head, refusal
from nsqd.storage.ticket import Ticket

MAX_HEAD = 16_384
MAX_REMEMBERED = 1024
_BARE_END = re.compile(rb"\n\r?\n")  # of a head whose line ends are not those of the standard
SLOW_S = 60.0
"""A request must be complete this long after its first byte, and answers must be taken as soon as that."""
MOST_UNREAD = 8 << 20
HIGH_WATER = 1 << 20
"""Bytes of answers that wait for a client before nothing more is read from it."""
MAX_REQUESTS = 500
"""Requests of one read that are answered in one go, some 3 ms; then others have the loop."""


class Lanes:
    """What all connections of a listener share: remembered heads, the date, and the sweep of slow senders."""

    def __init__(self, broker: Broker, fallback: Callable[[], asyncio.Protocol]) -> None:
        """``fallback`` makes the protocol that takes a connection over."""
        self.broker = broker
        self.fallback = fallback
        self.open: set[HttpLane] = set()
        self.heads: dict[bytes, Head] = {}
        self.ok = b""
        self._loop = asyncio.get_running_loop()
        self._ticking = False

    def add(self, lane: HttpLane) -> None:
        """A connection began; while there is any, the clock ticks."""
        self.open.add(lane)
        if not self._ticking:
            self._ticking = True
            self._tick()

    def _tick(self) -> None:
        self._ticking = bool(self.open)
        if not self._ticking:
            return
        self.ok = ok()
        now = self._loop.time()
        for lane in list(self.open):
            lane.sweep(now)
        self._loop.call_later(1.0, self._tick)

    def close(self) -> None:
        """Closes every connection that was not handed over."""
        for lane in list(self.open):
            lane.close()

    def remember(self, data: bytes, head: Head) -> None:
        """Keeps a head; when there are too many, all are forgotten: who repeats himself is soon back."""
        if len(self.heads) >= MAX_REMEMBERED:
            self.heads.clear()
        self.heads[data] = head


class HttpLane(asyncio.Protocol):
    """One HTTP connection until it is handed over."""

    def __init__(self, lanes: Lanes) -> None:
        self._lanes = lanes
        self._broker = lanes.broker
        self._loop = asyncio.get_running_loop()
        self._parts: list[bytes] = []
        self._have = 0
        self._wanted = 0
        self._since = 0.0  # when the incomplete request began, 0 for none
        self._blocked_since = 0.0  # when the client began not to take its answers, 0 while it does
        self._answers: list[bytes] = []
        self._held: deque[bytes | Ticket] = deque()  # answers behind one that waits for the disk
        self._at_work = False
        self._handing_over = False
        self._last = False  # the client wants the connection closed behind the request that was read last
        self._heard_all = False  # the client sends no more
        self._over = False
        self._paused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client connected."""
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=HIGH_WATER)
        self._lanes.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone; what it published stays published."""
        self._over = True
        self._held.clear()
        self._lanes.open.discard(self)

    def close(self) -> None:
        """Ends the connection."""
        self._over = True
        self._transport.close()

    def eof_received(self) -> bool:
        """The client sends no more; what it has sent whole is answered first."""
        self._heard_all = True
        if self._parts and not self._at_work and not self._over:
            data = b"".join(self._parts)
            self._parts.clear()
            self._hand_over(data)  # the end came inside a request
        elif not self._at_work and not self._handing_over:
            self._finish_after_answers()
        return True

    def sweep(self, now: float) -> None:
        """Ends a client that does not get its request finished, or does not take its answers."""
        if self._blocked_since:
            slow = now - self._blocked_since > SLOW_S
        else:
            slow = self._since != 0.0 and now - self._since > SLOW_S and not self._at_work
        if slow:
            self._transport.abort()

    # -- reading -----------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Answers the requests that are complete."""
        if self._over:
            return
        if self._parts or self._at_work or self._handing_over:
            self._parts.append(data)
            self._have += len(data)
            if self._at_work or self._handing_over:
                if self._have > MOST_UNREAD and not self._paused:
                    self._paused = True
                    self._pace()
                return
            if self._have < self._wanted:
                return
            data = b"".join(self._parts)
            self._parts.clear()
        self._serve(data)

    def _serve(self, buf: bytes) -> None:
        at, end, heads, left = 0, len(buf), self._lanes.heads, MAX_REQUESTS
        self._wanted = 0
        while at < end and left > 0 and not self._at_work:
            stop = buf.find(b"\r\n\r\n", at, at + MAX_HEAD) + 4
            if stop < 4:
                if end - at >= MAX_HEAD or not _may_be_ours(buf, at) or _BARE_END.search(buf, at):
                    self._hand_over(buf[at:])
                    return
                self._wanted = end - at + 1
                break
            line = buf[at:stop]
            head = heads.get(line)
            if head is None:
                head = read_head(line)
                if head is None:
                    self._hand_over(buf[at:])
                    return
                if head.length > publish.body_limit(self._broker, head.path)[0]:
                    self._hand_over(buf[at:])
                    return
                self._lanes.remember(line, head)
            if stop + head.length > end:
                self._wanted = stop + head.length - at
                break
            at = stop + head.length
            left -= 1
            if head.keep_alive:
                self._answer(head, buf[stop:at])
            else:
                self._last = True
                self._answer(head, buf[stop:at])
                if not self._at_work:
                    self._finish_after_answers()
                return
        if self._answers:
            self._flush()
        if at == end:
            self._have, self._since = 0, 0.0
            return
        rest = buf[at:] if at else buf
        self._parts, self._have = [rest], len(rest)
        if at or not self._since:
            self._since = self._loop.time()
        if left == 0 and not self._at_work:
            self._at_work = True
            self._loop.call_soon(self._catch_up)

    def _answer(self, head: Head, body: bytes) -> None:
        try:
            if head.path == "/pub":
                self._add(publish.pub(self._broker, head.args, body))
                return
            work = publish.mpub(self._broker, head.args, body)
            try:
                next(work)
            except StopIteration as done:
                self._add(done.value)
                return
        except HttpError as e:
            self._refuse(e)
            return
        self._at_work = True
        self._loop.call_soon(self._go_on, work)

    def _go_on(self, work: bulk.Work) -> None:
        """A slice more of a long batch; then the requests that came in behind it."""
        if self._over:
            return
        try:
            next(work)
        except StopIteration as done:
            self._add(done.value)
        except HttpError as e:
            self._refuse(e)
        else:
            self._loop.call_soon(self._go_on, work)
            return
        if self._last:
            self._finish_after_answers()
        else:
            self._catch_up()

    def _catch_up(self) -> None:
        """Work is done, or was interrupted for others' sake: the requests that came in behind it."""
        if self._over:
            return
        self._at_work = False
        data = b"".join(self._parts)
        self._parts.clear()
        self._serve(data)
        if self._at_work or self._over:
            return
        self._paused = False
        self._pace()
        if self._heard_all:
            self.eof_received()

    # -- pace --------------------------------------------------------------------------------------

    def pause_writing(self) -> None:
        """The client does not take its answers: nothing more is read from it."""
        self._blocked_since = self._loop.time()
        self._pace()

    def resume_writing(self) -> None:
        """It caught up."""
        self._blocked_since = 0.0
        self._pace()

    def _pace(self) -> None:
        if self._transport.is_closing():
            return
        if self._paused or self._blocked_since:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    # -- answering ---------------------------------------------------------------------------------

    def _add(self, ticket: Ticket | None) -> None:
        if ticket is not None:
            self._held.append(ticket)
            ticket.when_done(self._release)
        elif self._held or self._last:
            self._add_answer(self._lanes.ok)
        else:
            self._answers.append(self._lanes.ok)

    def _refuse(self, error: HttpError) -> None:
        self._add_answer(refusal(error))

    def _add_answer(self, answer: bytes) -> None:
        if self._last:
            answer = closing(answer)
        if self._held:
            self._held.append(answer)
        else:
            self._answers.append(answer)

    def _release(self) -> None:
        held = self._held
        while held:
            first = held[0]
            if isinstance(first, bytes):
                self._answers.append(first)
            elif not first.done:
                break
            else:
                answer = self._lanes.ok if first.error is None else refusal(publish.EXITING)
                self._answers.append(closing(answer) if self._last and len(held) == 1 else answer)
            held.popleft()
        self._flush()
        if held:
            return
        if self._over:
            self._end()
        elif self._handing_over:
            self._hand_over(b"")

    def _flush(self) -> None:
        answers = self._answers
        if answers:
            self._transport.write(answers[0] if len(answers) == 1 else b"".join(answers))
            answers.clear()

    def _finish_after_answers(self) -> None:
        """Closes when every answer is out; the client wanted it so, or sends no more."""
        self._over = True
        self._flush()
        if not self._held:
            self._end()

    def _end(self) -> None:
        if self._heard_all:
            close_behind(self._transport)
        else:
            close_gently(self._transport)

    def _hand_over(self, data: bytes) -> None:
        """Gives the connection away, once the answers before are out, with every byte that is not ours."""
        if data:
            self._parts.append(data)
            self._have = len(data)
        if self._held:
            self._handing_over = True
            return
        self._flush()
        self._over = True
        self._paused, self._blocked_since = False, 0.0
        self._pace()
        self._lanes.open.discard(self)
        protocol = self._lanes.fallback()
        protocol.connection_made(self._transport)
        self._transport.set_protocol(protocol)
        protocol.data_received(b"".join(self._parts))
        self._parts.clear()
        if self._heard_all:
            protocol.eof_received()


def _may_be_ours(buf: bytes, at: int) -> bool:
    """Whether an incomplete head may still turn out to be a publish."""
    return any(path.startswith(buf[at : at + len(path)]) for path in (b"POST /pub", b"POST /mpub"))
