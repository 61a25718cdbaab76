"""Closing a connection so that the last answer arrives although the peer is still sending."""

from __future__ import annotations

import asyncio

LINGER_S = 2.0
"""How long the peer has to read what it was told."""


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
    asyncio.get_running_loop().call_later(LINGER_S, transport.abort)
