"""A graphite that answers ``/base/render`` with what a test wants, a picture to begin with."""

from __future__ import annotations

import math
import struct
import zlib
from typing import Self

from aiohttp import test_utils, web


def picture(width: int = 296, height: int = 96) -> bytes:
    """A PNG: a red line on nothing."""
    rows = []
    for y in range(height):
        row = bytearray()
        for x in range(width):
            there = abs(height * (0.5 - 0.4 * math.sin(x / 30)) - y) < 1.2
            row += bytes((200, 30, 30, 255)) if there else bytes(4)
        rows.append(b"\0" + bytes(row))
    head = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    parts = [(b"IHDR", head), (b"IDAT", zlib.compress(b"".join(rows))), (b"IEND", b"")]
    chunks = (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in parts
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


class FakeGraphite:
    """One that runs while the block does."""

    def __init__(self) -> None:
        self.body = picture()
        self.kind = "image/png"
        self.status = 200
        self.requests: list[web.Request] = []
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._server = test_utils.TestServer(app)

    async def __aenter__(self) -> Self:
        await self._server.start_server()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._server.close()

    @property
    def url(self) -> str:
        """With a user, a path and a slash at its end."""
        return self.origin.replace("//", "//bob:s%40crit@") + "/base/"

    @property
    def origin(self) -> str:
        return str(self._server.make_url("")).rstrip("/")

    async def _answer(self, request: web.Request) -> web.Response:
        self.requests.append(request)
        return web.Response(body=self.body, status=self.status, headers={"Content-Type": self.kind})
