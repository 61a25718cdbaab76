"""The commands before all others, IDENTIFY and AUTH: who the client is, and what was agreed with it."""

from __future__ import annotations

import logging

from nsqd.client import State
from nsqd.errors import FatalError
from nsqd.protocol import identify as negotiation
from nsqd.protocol.parameters import I32
from nsqd.protocol.session import Session


def _body_size(buf: bytes, at: int, command: str, limit: int) -> int:
    """The length of a body of IDENTIFY, AUTH."""
    size: int = I32.unpack_from(buf, at)[0]
    if size > limit:
        raise FatalError("E_BAD_BODY", f"{command} body too big {size} > {limit}")
    if size <= 0:
        raise FatalError("E_BAD_BODY", f"{command} invalid body size {size}")
    return size


def identify(session: Session, words: list[bytes], buf: bytes, at: int, end: int) -> int:
    """What the client is and wants; answers what it gets."""
    client, options = session.client, session.options
    if client.state is not State.INIT:
        raise FatalError("E_INVALID", "cannot IDENTIFY in current state")
    if end - at < 4:
        return -(at + 4)
    stop = at + 4 + _body_size(buf, at, "IDENTIFY", options.max_body_size)
    if stop > end:
        return -stop
    identity = negotiation.Identity(buf[at + 4 : stop])
    session.note(logging.INFO, "IDENTIFY", "[%s] IDENTIFY: %s", client.remote_address, identity)
    client.settings = negotiation.negotiate(identity, options)
    granted = negotiation.upgrade(identity, options, client.upgrade, tls=session.broker.tls is not None)
    session.answer(negotiation.answer(identity, client.settings, granted, options))
    if granted:
        session.begin_upgrade(granted)
    else:
        session.settings_changed()
    return stop


def auth(session: Session, words: list[bytes], buf: bytes, at: int, end: int) -> int:
    """A secret, for which the auth server knows permissions."""
    if session.client.state is not State.INIT:
        raise FatalError("E_INVALID", "cannot AUTH in current state")
    if len(words) != 1:
        raise FatalError("E_INVALID", "AUTH invalid number of parameters")
    if end - at < 4:
        return -(at + 4)
    stop = at + 4 + _body_size(buf, at, "AUTH", session.options.max_body_size)
    if stop > end:
        return -stop
    if session.auth is None:
        raise FatalError("E_AUTH_DISABLED", "AUTH disabled")
    session.auth.authenticate(buf[at + 4 : stop])
    return stop
