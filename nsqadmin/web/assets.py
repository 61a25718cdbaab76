"""The style sheet, scripts and icon, out of the package."""

from __future__ import annotations

import hashlib
from importlib import resources

from aiohttp import web

from nsqadmin.web.http_server import Route

_TYPES = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}


class Assets:
    """Files below ``/static/``, read when first asked for; browsers keep them and ask whether they changed."""

    def __init__(self) -> None:
        self._files: dict[str, tuple[bytes, str, str]] = {}

    def routes(self) -> list[Route]:
        """The one route, without the base path."""
        return [Route("GET", "/static/{asset}", self.asset, quiet=True, public=True)]

    async def asset(self, request: web.Request) -> web.Response:
        """One file, or a bare ``NOT_FOUND``."""
        found = self._find(request.match_info["asset"])
        if found is None:
            return web.Response(status=404, text="NOT_FOUND")
        body, kind, tag = found
        headers = {"ETag": tag, "Cache-Control": "no-cache"}
        if request.headers.get("If-None-Match") == tag:
            return web.Response(status=304, headers=headers)
        return web.Response(body=body, headers=headers, content_type=kind, charset="utf-8")

    def _find(self, name: str) -> tuple[bytes, str, str] | None:
        if name not in self._files:
            kind = _TYPES.get(name.rpartition(".")[2])
            file = resources.files("nsqadmin").joinpath("static", name)
            if kind is None or "/" in name or "\\" in name or not file.is_file():
                return None
            body = file.read_bytes()
            self._files[name] = body, kind, f'"{hashlib.sha256(body).hexdigest()[:20]}"'
        return self._files[name]
