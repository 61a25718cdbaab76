"""One client's socket: reading, deadlines, heartbeats, and ending so that the last words arrive."""

from __future__ import annotations

import asyncio
import logging
from typing import cast

from nsqcore import logs
from nsqcore.addresses import format_peer
from nsqcore.connections import Connections
from nsqcore.golang import go_reason
from nsqcore.last_words import close_behind, close_gently
from nsqcore.layers.transport import Layers
from nsqcore.wire.frames import ERROR, HEARTBEAT, MAGIC_V2, RESPONSE, encode_frame
from nsqd.auth.servers import AuthServers
from nsqd.broker import Broker
from nsqd.client import Client, State
from nsqd.in_flight import InFlight
from nsqd.protocol import identify, upgrade
from nsqd.protocol.commands import LineTooLong, obey, obey_aloud, truncated
from nsqd.protocol.session import Session

log = logging.getLogger(__name__)

MAGIC_TIMEOUT_S = 60.0
"""For the first four bytes. The original waits for ever."""
MOST_PARTS = 4096
"""Reads that are kept as they came, of which one of a few bytes takes up fifty; then they are joined."""
HIGH_WATER = 1 << 20
"""Bytes that wait for a slow consumer before nothing more is delivered to it."""
MOST_UNREAD = 8 << 20
"""Bytes that may gather behind commands that are at work; then reading pauses."""
MOST_UNSENT = 64 << 20
"""Bytes of answers that may wait for a client that reads none; then it is cut off."""
_HEARTBEAT_FRAME = encode_frame(RESPONSE, HEARTBEAT)


class Connection(asyncio.Protocol):
    """Joins a transport to a :class:`Session`. ``connections`` holds it as long as it lives."""

    def __init__(
        self, broker: Broker, connections: Connections[Connection], auth_servers: AuthServers | None = None
    ) -> None:
        self._broker = broker
        self._auth_servers = auth_servers
        self._connections = connections
        self._loop = asyncio.get_running_loop()
        self._now = self._loop.time
        self._heard = self._now()  # when the client last sent something
        self._parts: list[bytes] = []  # an incomplete command, or bytes behind one that is at work
        self._have = 0
        self._at = 0  # bytes of the first part that are done with, while very many commands are gone on with
        self._wanted = len(MAGIC_V2)
        self._greeted = False
        self._going_on = False
        self._waiting = False  # to go on until the client has taken its answers
        self._paused_reading = False
        self._blocked_since = 0.0
        self._interval = 0.0  # of heartbeats, seconds
        self._timer: asyncio.TimerHandle | None = None
        self._heard_all = False  # the client sends no more
        self._ending = False
        self._layers: Layers | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Sets up the client's state; nothing is sent."""
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=HIGH_WATER)
        peer = format_peer(transport.get_extra_info("peername"))
        settings = identify.default_settings(
            self._broker.options, "" if peer == "@" else peer.rpartition(":")[0].strip("[]")
        )
        client = Client(
            settings=settings,
            write=self._transport.write,
            write_all=self._transport.writelines,
            close=self.close,
            remote_address=peer,
            in_flight=InFlight(settings.msg_timeout / 1000, 0.0),
        )
        self.client = client
        self._session = Session(
            self._broker,
            client,
            output=self._transport.write,
            changed=self._session_changed,
            auth_servers=self._auth_servers,
        )
        self._connections.add(self)
        self._timer = self._loop.call_later(MAGIC_TIMEOUT_S, self._no_magic)
        log.info("TCP: new client(%s)", peer)

    # -- reading -----------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Obeys what is complete; keeps the rest without joining it before it can be complete."""
        self._heard = self._now()
        if self._session.over:
            return
        if self._parts or not self._greeted or self._session.suspended:
            self._parts.append(data)
            self._have += len(data)
            if len(self._parts) > MOST_PARTS:
                self._parts[1:] = [b"".join(self._parts[1:])]
            if self._have < self._wanted:
                return
            if self._going_on or self._session.suspended:
                if self._have > MOST_UNREAD:
                    self._pace()
                return
            data = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
            self._parts.clear()
            if not self._greeted:
                if not self._greet(data):
                    return
                data = data[len(MAGIC_V2) :]
        self._obey(data)

    def _obey(self, data: bytes, at: int = 0) -> None:
        session = self._session
        try:
            done = obey(session, data, at) if not logs.debugging else obey_aloud(session, data, at)
        except LineTooLong:
            session.died_of = "failed to read command - bufio: buffer full"
            session.over = True
            self._session_changed()
            return
        if session.answers:
            session.flush()
            if self.client.blocked and self._transport.get_write_buffer_size() > MOST_UNSENT:
                log.info("client(%s) - reads no answers, closing", self.client.remote_address)
                self.close()
                return
        if done == len(data):
            self._have = self._wanted = 0
        elif not session.over:
            self._have = len(data) - done
            self._wanted = session.wanted
            if session.wanted or session.suspended:
                self._parts = [data[done:] if done else data]
            else:  # very many commands: cut at every stop, they would be copied again and again
                self._parts, self._at = [data], done
                self._go_on_soon()

    def _go_on_soon(self) -> None:
        if not self._going_on:
            self._going_on = True
            self._loop.call_soon(self._go_on)

    def _go_on(self) -> None:
        session = self._session
        at_work = bool(self._parts) and not session.over and not session.suspended
        self._waiting = at_work and self.client.blocked and not self._consumes
        if self._waiting:  # more answers would pile up
            return
        self._going_on = False
        if at_work:
            (data, *behind), at = self._parts, self._at
            self._parts, self._have, self._at = [], 0, 0
            self._obey(data, at)
            if behind and not session.over:
                self._put_behind(behind)
            self._pace()
        if self._heard_all:
            self._hang_up()

    def _put_behind(self, behind: list[bytes]) -> None:
        """Keeps what came while very many commands were gone on with; a command may begin before it."""
        if self._at or self._session.suspended:
            self._parts += behind
        else:
            self._parts = [b"".join([*self._parts, *behind])]
            self._go_on_soon()
        self._have += sum(map(len, behind))

    def _pace(self) -> None:
        """Reads on, or pauses while too much is still to be obeyed, or one who is no consumer does not take answers."""
        busy = self._session.suspended or self._going_on
        pause = (busy and self._have > MOST_UNREAD) or (self.client.blocked and not self._consumes)
        if pause != self._paused_reading and not self._transport.is_closing():
            self._paused_reading = pause
            if pause:
                self._transport.pause_reading()
            else:
                self._transport.resume_reading()

    @property
    def _consumes(self) -> bool:
        """Whether what it sends are answers to messages, which must be heard even of those that read slowly."""
        return self.client.state is not State.INIT and not self.client.published

    def _greet(self, data: bytes) -> bool:
        magic, remote = data[: len(MAGIC_V2)], self.client.remote_address
        shown = magic.decode("latin-1")
        log.info("CLIENT(%s): desired protocol magic '%s'", remote, shown)
        if magic != MAGIC_V2:
            log.error("client(%s) bad protocol magic '%s'", remote, shown)
            self._session.died_of = "E_BAD_PROTOCOL"
            self._transport.write(encode_frame(ERROR, b"E_BAD_PROTOCOL"))
            self._end()
            return False
        self._greeted = True
        self._wanted = 0
        self._beat_every(self.client.settings.heartbeat_interval / 1000)
        return True

    def _session_changed(self) -> None:
        """Told by the session: settings, the end of long work, all answers given, or the end of everything."""
        session = self._session
        interval = self.client.settings.heartbeat_interval / 1000
        if session.over:
            session.flush()
            if session.settled:  # else told again when the disk has answered
                self._loop.call_soon(self._end)
        elif session.upgrade is not None:
            self._loop.call_soon(self._upgrade)
        elif interval != self._interval:
            self._beat_every(interval)
        elif self._parts and not session.suspended:
            self._go_on_soon()
        elif self._heard_all:
            self._hang_up()

    def eof_received(self) -> bool:
        """The client sends no more; what it has sent is obeyed and answered first."""
        self._heard_all = True
        self._hang_up()
        return True

    def _hang_up(self) -> None:
        """Closes if nothing is left to do; says what was missing if the client stopped inside a command."""
        session = self._session
        if self._ending:
            close_behind(self._transport)
        elif not (session.over or session.suspended or self._going_on) and session.settled:
            if self._parts and session.no_more_comes():
                self._go_on_soon()
                return
            error = truncated(session, b"".join(self._parts)) if self._greeted and self._parts else None
            if error is not None:
                session.refuse(error)
            else:
                self.close()

    # -- the upgrade -------------------------------------------------------------------------------

    def _upgrade(self) -> None:
        """Puts the layers that IDENTIFY granted between the socket and this, once its answer is out."""
        session = self._session
        granted = session.upgrade
        if granted is None or not session.settled or session.over:  # told again when the disk has answered
            return
        session.upgrade = None
        self._beat_every(0)  # a heartbeat must not come in between
        layers = self._layers
        if layers is None:
            if self._paused_reading:
                self._paused_reading = False
                self._transport.resume_reading()
            self._layers = layers = Layers(self)
            layers.take_over(self._transport, blocked=self.client.blocked)
            layers.set_write_buffer_limits(high=HIGH_WATER)
            self._transport = layers
            session.send_through(layers.write, layers.writelines)
        behind, heard_all = b"".join(self._parts), self._heard_all
        self._parts, self._have, self._wanted, self._heard_all = [], 0, 0, False
        upgrade.begin(session, granted, layers, behind)
        if heard_all:
            layers.eof_received()

    # -- writing -----------------------------------------------------------------------------------

    def pause_writing(self) -> None:
        """The client reads too slowly: no more messages for it for now."""
        self._blocked_since = self._now()
        self.client.blocked = True
        self._pace()

    def resume_writing(self) -> None:
        """It caught up."""
        self.client.blocked = False
        self._pace()
        if self._waiting:
            self._waiting = False
            self._loop.call_soon(self._go_on)
        if self._session.channel is not None:
            self._session.channel.hungry(self.client)

    # -- heartbeats --------------------------------------------------------------------------------

    def _beat_every(self, interval: float) -> None:
        """Heartbeats every ``interval`` seconds from now on; 0 for none, and no deadlines either."""
        self._interval = interval
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if interval:
            self._timer = self._loop.call_later(interval, self._beat)

    def _beat(self) -> None:
        now, interval = self._now(), self._interval
        if self._session.suspended:  # it may be waiting for us
            self._heard = now
        silent = now - self._heard
        if silent >= 2 * interval - 0.001:
            log.info("client(%s) - nothing heard for %.1f s, closing", self.client.remote_address, silent)
            self.close()
            return
        if self.client.blocked and now - self._blocked_since >= interval:
            log.info(
                "client(%s) - reads nothing for %.1f s, closing",
                self.client.remote_address,
                now - self._blocked_since,
            )
            self.close()
            return
        if self._session.upgrade is None:  # else what is behind its answer belongs to the layers
            self._transport.write(_HEARTBEAT_FRAME)
        # The read deadline lies two intervals after the last command, mostly between two heartbeats.
        due = self._heard + 2 * interval
        if due < now + interval:
            self._timer = self._loop.call_at(due, self._check_silence, now + interval)
        else:
            self._timer = self._loop.call_at(now + interval, self._beat)

    def _check_silence(self, next_beat: float) -> None:
        if self._now() - self._heard >= 2 * self._interval - 0.001:
            self._beat()
        else:
            self._timer = self._loop.call_at(next_beat, self._beat)

    # -- end ---------------------------------------------------------------------------------------

    def _no_magic(self) -> None:
        log.error(
            "failed to read protocol version - client(%s) i/o timeout after %.0f s",
            self.client.remote_address,
            MAGIC_TIMEOUT_S,
        )
        self._session.died_of = "i/o timeout"
        self.close()

    def _end(self) -> None:
        """Closes behind the last words."""
        if self._ending:
            return
        self._session.flush()
        self._leave()
        if self._heard_all:
            close_behind(self._transport)
            return
        if self._paused_reading and not self._transport.is_closing():
            self._paused_reading = False  # who is still sending has to come to the end to hear them
            self._transport.resume_reading()
        close_gently(self._transport)

    def _leave(self) -> None:
        self._ending = True
        self._parts.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._session.leave()

    def close(self) -> None:
        """Closes without a frame, behind what is still to be written if the client takes that."""
        self._leave()
        close_behind(self._transport) if not self.client.blocked else self._transport.abort()

    def cut(self) -> None:
        """Ends the socket whatever is still to be written."""
        self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone."""
        self._leave()
        self._session.forget()
        self._connections.discard(self)
        remote = self.client.remote_address
        if not self._greeted:
            if not self._session.died_of:
                # Port checks say nothing, all day long; half a magic is a mistake.
                level, why = (logging.ERROR, "unexpected EOF") if self._have else (logging.INFO, "EOF")
                log.log(level, "failed to read protocol version - %s", why)
            return
        log.info("PROTOCOL(V2): [%s] exiting ioloop", remote)
        if self._session.died_of:
            log.error("client(%s) - %s", remote, self._session.died_of)
        elif exc is not None:
            log.error("client(%s) - failed to read command - %s", remote, go_reason(exc))
        log.info("PROTOCOL(V2): [%s] exiting messagePump", remote)

    def __repr__(self) -> str:
        return f"<Connection {self.client.remote_address} {State(self.client.state).name}>"
