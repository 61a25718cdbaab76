"""The layers of a client's connection; imported where there are any."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from nsqcore.layers.codec import CodecError
from nsqcore.layers.transport import Layers


class ClientLayers(Layers):
    """Between a connection and its transport."""

    def __init__(self, protocol: asyncio.Protocol, failed: Callable[[CodecError], None]) -> None:
        """``failed`` is told of what the peer sent and no layer can read."""
        super().__init__(protocol)
        self._failed = failed

    def codec_failed(self, error: CodecError) -> None:
        """The peer sent what a layer can't read."""
        self._failed(error)
