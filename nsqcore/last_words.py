"""Closing a connection so that the last answer arrives, and so that no peer can keep it from closing."""

from __future__ import annotations

import asyncio

LINGER_S = 2.0
"""How long a peer that was sent everything has to read it."""
STALLED_S = 30.0
"""How long a peer may take nothing of what still waits for it here."""


def close_gently(transport: asyncio.Transport) -> None:
    """Ends our side behind what was written, and closes when the peer does, or after a while.

    Closing at once with input unread would make the kernel send a reset, and the peer would lose the answer.
    The protocol must throw away what still comes in, and let the end of it close the transport.
    """
    if transport.is_closing():
        return
    try:
        transport.write_eof()
    except (OSError, RuntimeError):  # the peer is gone already
        transport.abort()
        return
    _cut_off_later(transport)


def close_behind(transport: asyncio.Transport) -> None:
    """Closes behind what was written, which a peer that reads nothing would put off for ever: it is cut off."""
    transport.close()
    if transport.get_write_buffer_size():
        _cut_off_later(transport)


def _cut_off_later(transport: asyncio.Transport) -> None:
    waits = transport.get_write_buffer_size()
    asyncio.get_running_loop().call_later(STALLED_S if waits else LINGER_S, _cut_off, transport, waits)


def _cut_off(transport: asyncio.Transport, waited: int) -> None:
    if transport.get_write_buffer_size() < waited:  # slow, but it takes what it was told
        _cut_off_later(transport)
    else:
        transport.abort()
