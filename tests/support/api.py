"""An HTTP API without its daemon."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from nsqcore.api_server import Api, Endpoint
from nsqcore.http_connection import HttpServer


@asynccontextmanager
async def serving(endpoints: Iterable[Endpoint]) -> AsyncIterator[str]:
    """Serves endpoints at the address that is given."""
    server = HttpServer(Api(endpoints).respond)
    accepting = await asyncio.get_running_loop().create_server(server, "127.0.0.1", 0)
    host, port = accepting.sockets[0].getsockname()
    yield f"{host}:{port}"
    accepting.close()
    await server.close()
