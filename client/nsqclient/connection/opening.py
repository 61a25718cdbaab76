"""How a connection is opened: dialed, identified, upgraded, authenticated.

TLS comes first and compression second, each confirmed by nsqd inside the new layer; then the secret goes out.
Nothing of what was asked for is silently done without: a connection that was meant to be TLS is TLS, or it
ends before anything that matters is sent.
"""

from __future__ import annotations

import asyncio
import logging
import os
from typing import TYPE_CHECKING

from nsqclient.connection.connection import Connection, Refused
from nsqclient.connection.options import ConnectionOptions
from nsqclient.connection.state import Agreement, Event, Identity
from nsqclient.credentials import read_secret
from nsqclient.discovery.dialing import UNIX_PREFIX, Dial, dial_directly
from nsqclient.durations import to_seconds
from nsqclient.errors import (
    AuthRejected,
    AuthRequired,
    CompressionRefused,
    ConfigError,
    ConnectError,
    IdentifyRejected,
    NotNsqd,
    TlsFailed,
    TlsRefused,
)
from nsqcore.addresses import parse_host_port
from nsqcore.wire import commands

if TYPE_CHECKING:
    import ssl

log = logging.getLogger(__name__)


async def open_connection(node: str, options: ConnectionOptions, dial: Dial = dial_directly) -> Connection:
    """Connects to ``node`` and goes through the opening dialogue; raises ConnectError.

    Cancelling it leaves nothing open.
    """
    context = None if options.tls is None else await _tls_context(node, options)
    connection = await _dial(node, options, dial)
    try:
        await _identify(connection, options)
        if context is not None:
            await _encrypt(connection, options, context)
        await _compress(connection, options)
        await _authenticate(connection, options)
        if not connection.alive:
            raise ConnectError(node, "closed by nsqd")
    except BaseException as e:
        connection.abort(e if isinstance(e, ConnectError) else ConnectError(node, "closed by this side"))
        raise
    connection.opened()
    return connection


async def _dial(node: str, options: ConnectionOptions, dial: Dial) -> Connection:
    connection = Connection(node, options)
    try:
        async with asyncio.timeout(to_seconds(options.dial_timeout)):
            await dial(node, lambda: connection, options)
    except TimeoutError:
        error = ConnectError(node, "connecting took too long")
        connection.abort(error)  # uvloop takes nothing more of a connect that is cancelled as it comes about
        raise error from None
    except OSError as e:
        # asyncio words a refused connection as its own call; the system's words say more
        words = os.strerror(e.errno) if isinstance(e, ConnectionError) and e.errno else e.strerror
        raise ConnectError(node, words or str(e)) from e
    except ValueError as e:  # of a name that can't be one, which a nsqlookupd may well have told
        raise ConnectError(node, str(e)) from e
    except BaseException:
        connection.abort(ConnectError(node, "closed by this side"))
        raise
    return connection


async def _identify(connection: Connection, options: ConnectionOptions) -> None:
    node = connection.node
    try:
        answer = await connection.ask(Event.IDENTIFY, commands.encode_identify(options.identify()))
    except Refused as e:
        kind = NotNsqd if e.refusal.code == "E_BAD_PROTOCOL" else IdentifyRejected
        raise kind(node, e.refusal.text) from None
    agreement = connection.agreement = Agreement.from_answer(answer)
    size = options.limits.max_msg_size
    if agreement.max_msg_size is not None and agreement.max_msg_size < size:
        log.warning(
            "nsqd %s takes messages of up to %d bytes, and the limits of this client say %d: larger ones "
            "will be refused and cost the connection",
            node,
            agreement.max_msg_size,
            size,
        )


# ---- TLS


async def _tls_context(node: str, options: ConnectionOptions) -> ssl.SSLContext:
    assert options.tls is not None
    try:
        return await options.tls.context()
    except ConfigError as e:  # the files may be there by the next attempt
        raise TlsFailed(node, str(e)) from e


async def _encrypt(connection: Connection, options: ConnectionOptions, context: ssl.SSLContext) -> None:
    node, tls = connection.node, options.tls
    assert tls is not None
    if not connection.agreement.tls:
        if tls.mode == "require":
            raise TlsRefused(node, "nsqd has no TLS, and this client requires it")
        if connection.agreement.auth_required and options.auth is not None:
            raise TlsRefused(node, "nsqd has no TLS, and the secret is not sent in the clear")
        return
    from nsqcore.layers.codec import CodecError
    from nsqcore.layers.tls_codec import SslEngine, TlsCodec

    host = "" if node.startswith(UNIX_PREFIX) else parse_host_port(node).host
    try:
        codec = TlsCodec(SslEngine(context, server_side=False, server_name=tls.name_for(host)))
        codec.begin()
        await connection.shake_hands(codec)
    except Refused as e:
        raise TlsFailed(node, e.refusal.text) from None
    except (ConnectError, CodecError, ValueError) as e:  # the last of a name that can't be one
        raise TlsFailed(node, e.reason if isinstance(e, ConnectError) else str(e)) from e


# ---- compression


async def _compress(connection: Connection, options: ConnectionOptions) -> None:
    wanted, agreement = options.compression, connection.agreement
    if wanted is None:
        return
    try:
        if wanted.kind == "snappy" and agreement.snappy:
            from nsqcore.layers.snappy import Snappy

            await connection.compress("snappy", Snappy())
        elif wanted.kind == "deflate" and agreement.deflate:
            from nsqcore.layers.deflate import Deflate

            await connection.compress("deflate", Deflate(agreement.deflate_level))
        elif wanted.required:
            raise CompressionRefused(connection.node, f"nsqd does not use {wanted.kind}")
    except Refused as e:
        raise CompressionRefused(connection.node, e.refusal.text) from None


# ---- the secret


async def _authenticate(connection: Connection, options: ConnectionOptions) -> None:
    node = connection.node
    if not connection.agreement.auth_required:
        return
    if options.auth is None:
        raise AuthRequired(node, "nsqd requires AUTH, and no secret is configured")
    try:
        async with asyncio.timeout(to_seconds(options.handshake_timeout)):
            secret = await read_secret(options.auth)
    except Exception as e:
        words = "took too long" if isinstance(e, TimeoutError) else f"raised {type(e).__name__}"
        raise AuthRequired(node, f"nsqd requires AUTH, and the function for the secret {words}") from e
    try:
        answer = await connection.ask(Event.AUTH, commands.encode_auth(secret.encode()))
    except Refused as e:
        raise AuthRejected(node, e.refusal.text.replace(secret, "***")) from None
    connection.identity = Identity.from_answer(answer)
