"""The style sheets, scripts and icon, out of the package or out of a folder."""

from __future__ import annotations

import hashlib
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

from aiohttp import web

from nsqadmin.web.http_server import Route

_TYPES = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}


class Assets:
    """Files below ``/static/``, read when first asked for; browsers keep them and ask whether they changed."""

    def __init__(self, folder: str = "") -> None:
        """With a ``folder`` the files are those in it, read anew each time."""
        self._keep = not folder
        self._place: Traversable = Path(folder) if folder else resources.files("nsqadmin").joinpath("static")
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
        if name in self._files:
            return self._files[name]
        kind = _TYPES.get(name.rpartition(".")[2])
        if kind is None or "/" in name or "\\" in name or "\0" in name:
            return None
        try:
            body = self._place.joinpath(name).read_bytes()
        except OSError:
            return None
        found = body, kind, f'"{hashlib.sha256(body).hexdigest()[:20]}"'
        if self._keep:
            self._files[name] = found
        return found
