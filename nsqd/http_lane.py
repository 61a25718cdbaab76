"""The fast lane of HTTP: ``POST /pub`` and ``/mpub`` answered here, everything else by aiohttp.

The lane takes HTTP/1.1 requests with exactly one Content-Length and no Transfer-Encoding, Expect or Upgrade,
pipelined or not. At the first request of another kind the connection is handed to aiohttp, with the bytes
of that request untouched, for good.

Clients repeat their heads to the byte, so what httptools found in one is remembered: a head seen before
costs a look-up in a dictionary (http-pub: 1.5 µs less per request).
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from email.utils import formatdate
from typing import NamedTuple, cast

import httptools

from nsqcore.errors import HttpError
from nsqcore.golang import go_json
from nsqd import bulk, publish
from nsqd.broker import Broker
from nsqd.last_words import close_gently
from nsqd.ticket import Ticket

MAX_HEAD = 16_384
MAX_REMEMBERED = 1024
SLOW_S = 60.0
"""A request must be complete this long after its first byte."""
SWEEP_S = 5.0
MOST_UNREAD = 8 << 20
_REASONS = {200: "OK", 400: "Bad Request", 413: "Request Entity Too Large", 503: "Service Unavailable"}


class Head(NamedTuple):
    """What the lane needs to know of a request's head."""

    path: str
    args: dict[str, str]
    """Parameters of the query."""
    length: int
    """Bytes of the body."""
    keep_alive: bool


class _Collector:
    """Callbacks of httptools."""

    def __init__(self) -> None:
        self.url = b""
        self.lengths: list[bytes] = []
        self.plain = True
        self.complete = False

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        if name == b"content-length":
            self.lengths.append(value.strip())
        elif name in (b"transfer-encoding", b"expect", b"upgrade"):
            self.plain = False

    def on_headers_complete(self) -> None:
        self.complete = True


def read_head(data: bytes) -> Head | None:
    """The head of a request that is for the lane; None for any other, malformed ones among them."""
    collector = _Collector()
    parser = httptools.HttpRequestParser(collector)
    try:
        parser.feed_data(data)
        if (
            not collector.complete
            or not collector.plain
            or len(collector.lengths) != 1
            or parser.get_method() != b"POST"
        ):
            return None
        if (
            parser.get_http_version() != "1.1"
            or not collector.lengths[0].isdigit()
            or len(collector.lengths[0]) > 15
        ):
            return None
        path, _, query = collector.url.decode("ascii").partition("?")
        if path not in ("/pub", "/mpub"):
            return None
        length = int(collector.lengths[0])
        return Head(path, publish.arguments(path, query, length), length, parser.should_keep_alive())
    except (httptools.HttpParserError, UnicodeDecodeError, HttpError):
        return None


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
        self.ok = _response(200, b"OK", "text/plain; charset=utf-8")
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


def _response(status: int, body: bytes, content_type: str, *, close: bool = False) -> bytes:
    return (
        f"HTTP/1.1 {status} {_REASONS[status]}\r\n"
        f"Content-Type: {content_type}\r\n"
        "X-Nsq-Content-Type: nsq; version=1.0\r\n"
        f"Date: {formatdate(time.time(), usegmt=True)}\r\n"
        f"Content-Length: {len(body)}\r\n"
        f"{'Connection: close' + chr(13) + chr(10) if close else ''}\r\n"
    ).encode() + body


def _refusal(error: HttpError, *, close: bool = False) -> bytes:
    return _response(
        error.status, go_json({"message": error.code}), "application/json; charset=utf-8", close=close
    )


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
        self._answers: list[bytes] = []
        self._held: deque[bytes | Ticket] = deque()  # answers behind one that waits for the disk
        self._at_work = False
        self._handing_over = False
        self._over = False
        self._paused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client connected."""
        self._transport = cast(asyncio.Transport, transport)
        self._lanes.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone; what it published stays published."""
        self._over = True
        self._lanes.open.discard(self)

    def close(self) -> None:
        """Ends the connection."""
        self._over = True
        self._transport.close()

    def sweep(self, now: float) -> None:
        """Ends a sender that does not get its request finished."""
        if self._since and now - self._since > SLOW_S and not self._at_work:
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
                    self._transport.pause_reading()
                return
            if self._have < self._wanted:
                return
            data = b"".join(self._parts)
            self._parts.clear()
        self._serve(data)

    def _serve(self, buf: bytes) -> None:
        at, end, heads = 0, len(buf), self._lanes.heads
        self._wanted = 0
        while at < end and not self._at_work:
            stop = buf.find(b"\r\n\r\n", at, at + MAX_HEAD) + 4
            if stop < 4:
                if end - at >= MAX_HEAD or not _may_be_ours(buf, at):
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
                limit, code = publish.body_limit(self._broker, head.path)
                if head.length > limit:
                    self._last_words(HttpError(413, code))
                    return
                self._lanes.remember(line, head)
            if stop + head.length > end:
                self._wanted = stop + head.length - at
                break
            at = stop + head.length
            self._answer(head, buf[stop:at])
            if not head.keep_alive and not self._at_work:
                self._finish_after_answers()
                return
        self._flush()
        rest = buf[at:] if at else buf
        self._parts, self._have = ([rest], len(rest)) if rest else ([], 0)
        self._since = self._loop.time() if rest and not self._since else self._since if rest else 0.0

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
        self._loop.call_soon(self._go_on, work, head.keep_alive)

    def _go_on(self, work: bulk.Work, keep_alive: bool) -> None:
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
            self._loop.call_soon(self._go_on, work, keep_alive)
            return
        self._at_work = False
        if not keep_alive:
            self._finish_after_answers()
            return
        self._resume()
        data = b"".join(self._parts)
        self._parts.clear()
        self._serve(data)

    def _resume(self) -> None:
        if self._paused:
            self._paused = False
            self._transport.resume_reading()

    # -- answering ---------------------------------------------------------------------------------

    def _add(self, ticket: Ticket | None) -> None:
        if ticket is not None:
            self._held.append(ticket)
            ticket.when_done(self._release)
        elif self._held:
            self._held.append(self._lanes.ok)
        else:
            self._answers.append(self._lanes.ok)

    def _refuse(self, error: HttpError, *, close: bool = False) -> None:
        data = _refusal(error, close=close)
        if self._held:
            self._held.append(data)
        else:
            self._answers.append(data)

    def _release(self) -> None:
        held = self._held
        while held:
            first = held[0]
            if isinstance(first, bytes):
                self._answers.append(first)
            elif not first.done:
                break
            else:
                self._answers.append(self._lanes.ok if first.error is None else _refusal(publish.EXITING))
            held.popleft()
        self._flush()
        if not held and self._handing_over:
            self._hand_over(b"")
        elif not held and self._over:
            close_gently(self._transport)

    def _flush(self) -> None:
        answers = self._answers
        if answers:
            self._transport.write(answers[0] if len(answers) == 1 else b"".join(answers))
            answers.clear()

    def _last_words(self, error: HttpError) -> None:
        """Refuses a request that is still on its way."""
        self._refuse(error, close=True)
        self._over = True
        self._flush()
        if not self._held:
            close_gently(self._transport)

    def _finish_after_answers(self) -> None:
        """Closes when every answer is out."""
        self._over = True
        self._flush()
        if not self._held:
            self._transport.close()

    def _hand_over(self, data: bytes) -> None:
        """Gives the connection to aiohttp, once the answers before are out, with every byte that is not ours."""
        if data:
            self._parts.append(data)
        if self._held:
            self._handing_over = True
            return
        self._flush()
        self._resume()
        self._over = True
        self._lanes.open.discard(self)
        protocol = self._lanes.fallback()
        protocol.connection_made(self._transport)
        self._transport.set_protocol(protocol)
        protocol.data_received(b"".join(self._parts))
        self._parts.clear()


def _may_be_ours(buf: bytes, at: int) -> bool:
    """Whether an incomplete head may still turn out to be a publish."""
    return any(path.startswith(buf[at : at + len(path)]) for path in (b"POST /pub", b"POST /mpub"))
