"""The upgrade that IDENTIFY granted: TLS first, then snappy or deflate, each told by an OK through it."""

from __future__ import annotations

import logging
from functools import partial

from nsqcore.addresses import format_peer
from nsqcore.layers.codec import HandshakeCodec
from nsqcore.layers.transport import Layers
from nsqd.client import Upgrade
from nsqd.errors import FatalError
from nsqd.protocol.session import Session

log = logging.getLogger(__name__)
HANDSHAKE_S = 5.0
"""For the whole TLS handshake."""


def begin(session: Session, granted: Upgrade, layers: Layers, behind: bytes) -> None:
    """Pushes the layers one after the other and lets the session go on; refuses the client if TLS fails.

    ``behind`` is what the client sent behind its IDENTIFY without waiting: the beginning of the first layer's
    stream. Only a TLS handshake takes time; the session stays suspended until then.
    """
    if granted.tls and session.broker.tls is not None:
        _log(session, "TLS")
        codec = session.broker.tls.codec()
        layers.handshake(codec, HANDSHAKE_S, partial(_shaken, session, codec, granted, layers), behind)
    else:
        _compress(session, granted, layers, behind)


def _shaken(
    session: Session, codec: HandshakeCodec, granted: Upgrade, layers: Layers, error: Exception | None
) -> None:
    if error is not None:
        reason = str(error)
        if isinstance(error, TimeoutError):
            ends = [format_peer(layers.get_extra_info(end)) for end in ("sockname", "peername")]
            reason = f"read tcp {'->'.join(ends)}: {reason}"
        session.refuse(FatalError("E_IDENTIFY_FAILED", f"IDENTIFY failed {reason}"))
        return
    session.client.tls = codec.agreed()
    session.tls_first = False
    session.layer_added(Upgrade(tls=True))
    _compress(session, granted, layers)


def _compress(session: Session, granted: Upgrade, layers: Layers, behind: bytes = b"") -> None:
    # Imported here: most daemons never need them.
    if granted.snappy:
        from nsqcore.layers.snappy import Snappy

        _log(session, "snappy")
        layers.push(Snappy(), behind)
        session.layer_added(Upgrade(snappy=True))
    elif granted.deflate:
        from nsqcore.layers.deflate import Deflate

        _log(session, f"deflate (level {granted.deflate_level})")
        layers.push(Deflate(granted.deflate_level), behind)
        session.layer_added(Upgrade(deflate_level=granted.deflate_level))
    session.end_upgrade()


def _log(session: Session, what: str) -> None:
    log.info("PROTOCOL(V2): [%s] upgrading connection to %s", session.client.remote_address, what)
