"""One client's side of the protocol without its socket: where it stands, and its answers in order."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from dataclasses import dataclass
from typing import Any

from nsqcore.golang import go_reason
from nsqcore.wire.frames import ERROR, RESPONSE, encode_frame
from nsqd.auth.servers import AuthServers
from nsqd.broker import Broker
from nsqd.channel import Channel
from nsqd.client import Client, Upgrade
from nsqd.errors import FatalError, ProtocolError
from nsqd.protocol.auth import Auth
from nsqd.storage.ticket import Ticket

log = logging.getLogger(__name__)
OK_FRAME = encode_frame(RESPONSE, b"OK")
DOUBT_S = 0.05
"""How long the rest of an MPUB may take before its total is doubted; each time after that, twice as long."""


@dataclass(slots=True)
class PartialBatch:
    """How far an MPUB has come that is not all there, or that is published in more than one turn."""

    index: int = 0
    """Messages whose lengths were looked at."""
    at: int = 4
    """Where the next one begins, in bytes from the count on."""
    total_wrong: bool = False
    ended: bool = False
    """Nothing more will come."""
    delay: float = DOUBT_S
    done: int = 0
    """Bytes from the count on that have been published."""


def _nobody(*_: object) -> None:
    """In the place of a connection that is gone."""


class Session:
    """What the commands of one connection act on.

    Answers gather in :attr:`answers`, and :meth:`flush` sends those of one read together. An answer that
    waits for the disk holds back the ones behind it; their order never changes.
    """

    def __init__(
        self,
        broker: Broker,
        client: Client,
        *,
        output: Callable[[bytes], object],
        changed: Callable[[], None],
        auth_servers: AuthServers | None = None,
    ) -> None:
        """``output`` sends; ``changed`` is told when :attr:`suspended`, :attr:`over` or the settings changed.

        With ``auth_servers``, the client has to AUTH.
        """
        self.broker = broker
        self.options = broker.options
        self.frames = broker.frames
        self.topics = broker.topics
        self.client = client
        self.channel: Channel | None = None
        self.max_msg_size = broker.options.max_msg_size
        self.answers: list[bytes] = []
        self.wanted = 0
        """Bytes from the start of an incomplete command on without which it is no use to look again."""
        self.suspended = False
        """A command is still at work: the bytes behind it have to wait."""
        self.over = False
        """A fatal error was answered, or has to be: no more commands."""
        self.died_of = ""
        """That error, for the log."""
        self._noted: set[str] = set()
        self.upgrade: Upgrade | None = None
        """Layers that were granted, until the connection begins to put them under the protocol."""
        self.auth: Auth | None = None
        """What the client may do; None where everybody may do everything."""
        if auth_servers is not None:
            self.auth = Auth(
                auth_servers, client, wait_for=self.wait_for, answer=self.answer, refuse=self._refuse_now
            )
        self.partial_batch: PartialBatch | None = None
        """The MPUB that the next bytes begin with, if it has been looked at."""
        self._doubt: asyncio.TimerHandle | None = None
        self._waiting_for: asyncio.Task[None] | None = None
        self.tls_first = bool(broker.options.tls_required)
        """TLS is required and not there yet: nothing but IDENTIFY is obeyed."""
        self._held: deque[bytes | tuple[Ticket, str, int]] = deque()
        self._output = output
        self._changed = changed
        self._loop = asyncio.get_running_loop()

    @property
    def settled(self) -> bool:
        """Whether every answer has been sent."""
        return not self._held and not self.answers

    def settings_changed(self) -> None:
        """IDENTIFY agreed on something."""
        self._changed()

    # -- the upgrade -------------------------------------------------------------------------------

    def begin_upgrade(self, upgrade: Upgrade) -> None:
        """IDENTIFY granted layers: no command is looked at until :meth:`end_upgrade`."""
        self.upgrade = upgrade
        self.suspended = True
        self._changed()

    def send_through(
        self, output: Callable[[bytes], object], output_all: Callable[[list[bytes]], object]
    ) -> None:
        """Answers go to ``output`` from now on, and so do the client's messages, several of them to ``output_all``."""
        self._output = self.client.write = output
        self.client.write_all = output_all

    def layer_added(self, layer: Upgrade) -> None:
        """One of the layers carries data: the client is told, through it."""
        self.client.upgrade |= layer
        self.answer(b"OK")
        self.flush()

    def end_upgrade(self) -> None:
        """All layers are there."""
        self.suspended = False
        self._changed()

    # -- answers -----------------------------------------------------------------------------------

    def answer(self, data: bytes) -> None:
        """A response frame, in its turn."""
        self._add(encode_frame(RESPONSE, data))

    def refuse(self, error: ProtocolError) -> None:
        """An error frame, in its turn; a fatal one is the last answer."""
        shown = error.wire.decode("utf-8", "backslashreplace")
        cause = f" - {error.cause}" if error.cause else ""
        self.note(logging.ERROR, error.code, "[%s] - %s%s", self.client.remote_address, shown, cause)
        self._add(encode_frame(ERROR, error.wire))
        if isinstance(error, FatalError):
            self.died_of = shown
            self.over = True
            self._changed()

    def note(self, level: int, kind: str, text: str, *values: object) -> None:
        """Logs one event of each kind at ``level``, and more of that kind at DEBUG.

        A lost lease is daily life, and a client can provoke a million of them: no ERROR line for each.
        """
        if kind in self._noted:
            level = logging.DEBUG
        self._noted.add(kind)
        log.log(level, text, *values)

    def answer_publish(self, ticket: Ticket | None, command: str, count: int = 1) -> None:
        """OK for ``count`` publishes: at once, or when their ticket is done."""
        if ticket is not None:
            self._held.append((ticket, command, count))
            ticket.when_done(self._release)
        elif self._held:
            self._held.append(OK_FRAME * count)
        else:
            self.answers.append(OK_FRAME * count)

    def flush(self) -> None:
        """Sends what may be sent, in one write."""
        answers = self.answers
        if answers:
            self._output(answers[0] if len(answers) == 1 else b"".join(answers))
            answers.clear()

    def _add(self, frame: bytes) -> None:
        if self._held:
            self._held.append(frame)
        else:
            self.answers.append(frame)

    def _release(self) -> None:
        """A ticket is done: sends the answers that it held back."""
        held = self._held
        while held:
            first = held[0]
            if isinstance(first, bytes):
                self.answers.append(first)
            elif not first[0].done:
                break
            elif first[0].error is not None:
                held.clear()
                command, why = first[1], go_reason(first[0].error)
                self.refuse(FatalError(f"E_{command}_FAILED", f"{command} failed {why}"))
                break
            else:
                self.answers.append(OK_FRAME * first[2])
            held.popleft()
        self.flush()
        if not held:
            self._changed()

    # -- an MPUB of which not all is there ---------------------------------------------------------

    def doubt_later(self, delay: float) -> None:
        """If :attr:`partial_batch` is still partial ``delay`` seconds from now, its count decides how long it is."""
        if self._doubt is None:
            self._doubt = self._loop.call_later(delay, self._doubt_now)

    def _doubt_now(self) -> None:
        self._doubt = None
        if self.partial_batch is not None and not (self.over or self.suspended):
            self._changed()

    def no_more_comes(self) -> bool:
        """The client has ended its side; True if the bytes kept have to be looked at once more."""
        batch = self.partial_batch
        if batch is None or batch.ended:
            return False
        batch.ended = True
        return True

    # -- long work ---------------------------------------------------------------------------------

    def go_on_later(self, work: Generator[None, None, object]) -> None:
        """Goes on with ``work`` once per turn of the loop until it ends; meanwhile no command is looked at."""
        self.suspended = True
        self._loop.call_soon(self._go_on, work)

    def _go_on(self, work: Generator[None, None, object]) -> None:
        if self.over:
            return
        try:
            next(work)
        except StopIteration:
            pass
        except ProtocolError as e:
            self.refuse(e)
        else:
            self._loop.call_soon(self._go_on, work)
            return
        self.suspended = False
        self.flush()
        self._changed()

    def wait_for(self, work: Coroutine[Any, Any, None]) -> None:
        """As :meth:`go_on_later`, for work that waits for others; it is cancelled when the client is gone."""
        self.suspended = True
        self._waiting_for = self._loop.create_task(self._wait_for(work))

    async def _wait_for(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except ProtocolError as e:
            if not self.over:
                self.refuse(e)
        finally:
            self._waiting_for = None
            self.suspended = False
            if not self.over:
                self.flush()
                self._changed()

    def _refuse_now(self, error: FatalError) -> None:
        """Refuses what no command of this moment asked for."""
        if not self.over:
            self.refuse(error)

    # -- end ---------------------------------------------------------------------------------------

    def forget(self) -> None:
        """The socket is gone: lets go of the connection, so that both are freed without the garbage collector."""
        self._output = self.client.write = self.client.write_all = _nobody
        self._changed = self.client.close = _nobody
        if self.auth is not None:
            self.auth.forget()

    def leave(self) -> None:
        """The connection is gone, or as good as gone: gives back what the client holds."""
        self.over = True
        self._held.clear()  # nobody waits for these any more
        self.answers.clear()
        if self._waiting_for is not None:
            self._waiting_for.cancel()
        if self._doubt is not None:
            self._doubt.cancel()
            self._doubt = None
        if self.auth is not None:
            self.auth.leave()
        if self.channel is not None:
            self.channel.remove_client(self.client)
            self.channel = None
