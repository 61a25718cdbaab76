"""URLs of other services that options name: what is wrong with them in Go's words, and what of them may be shown."""

from __future__ import annotations

import base64
import json
import re
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from nsqcore.golang import go_quote

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*", re.ASCII)
_STRAY_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2}).{0,2}", re.DOTALL)
_NOT_IN_HOST = re.compile(r"[ <>\"^`{|}\\]")

_AUTHORITY = re.compile(r"([A-Za-z0-9._~-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]*)?", re.ASCII)
"""Nothing that means something where origins are listed, as in a Content-Security-Policy."""


class Service(NamedTuple):
    """Where a service is, without a slash at its end, and who asks it."""

    base: str
    user: str | None
    """For HTTP Basic; None: nobody in particular."""
    password: str

    @property
    def origin(self) -> str:
        """``scheme://host:port``."""
        return "/".join(self.base.split("/")[:3])

    @property
    def headers(self) -> dict[str, str]:
        """What a request has to say of who asks."""
        if self.user is None:
            return {}
        pair = f"{self.user}:{self.password}".encode("utf-8", "surrogateescape")
        return {"Authorization": f"Basic {base64.b64encode(pair).decode()}"}


def read_service(text: str) -> Service:
    """Raises ValueError that says what is wrong."""
    fault = _fault(text)
    if fault:
        raise ValueError(f"parse {go_quote(text.encode('utf-8', 'surrogateescape'))}: {fault}")
    parts = urlsplit(text)
    where = parts.netloc.rpartition("@")[2]
    if parts.scheme not in ("http", "https") or not _AUTHORITY.fullmatch(where):
        raise ValueError("want a URL such as https://host:port/path")
    user, password = (
        None if p is None else unquote(p, errors="surrogateescape") for p in (parts.username, parts.password)
    )
    return Service(f"{parts.scheme}://{where}{parts.path.rstrip('/')}", user, password or "")


def _fault(text: str) -> str:
    """What keeps Go from parsing a URL; empty: nothing."""
    if _CONTROL.search(text):
        return "net/url: invalid control character in URL"
    scheme, colon, rest = text.partition(":")
    if colon and not _SCHEME.fullmatch(scheme):
        return "missing protocol scheme" if not scheme else "first path segment in URL cannot contain colon"
    authority, path = "", rest if colon else text
    if rest.startswith("//"):
        authority = re.split("[/?#]", rest[2:], maxsplit=1)[0].rpartition("@")[2]
        path = rest[2 + len(authority) :]
    space = _NOT_IN_HOST.search(authority)
    if space is not None:
        return f"invalid character {json.dumps(space[0])} in host name"
    _, bracket, after = authority.rpartition("]")
    if authority.startswith("[") and not bracket:
        return "missing ']' in host"
    if not bracket:
        _, colon, after = authority.partition(":")
        after = colon + after
    if after and not (after.startswith(":") and (after[1:].isdigit() or after == ":")):
        return f"invalid port {go_quote(after.encode())} after host"
    if after[1:] and int(after[1:6]) > 65535:
        return f"invalid port {go_quote(after.encode())}: want a number up to 65535"
    stray = _STRAY_PERCENT.search(path.partition("?")[0])
    return f"invalid URL escape {go_quote(stray[0].encode('utf-8', 'replace'))}" if stray else ""


def shown(text: str) -> str:
    """A URL as others may see it: without the name and the password in it."""
    parts = text.partition("://")
    authority, slash, path = parts[2].partition("/")
    return f"{parts[0]}{parts[1]}{authority.rpartition('@')[2]}{slash}{path}" if parts[1] else text


def origin_shown(text: str) -> str:
    """Where a URL leads to and no more: those of webhooks tend to be secrets as a whole."""
    scheme, mark, rest = shown(text).partition("://")
    where = re.split("[/?#]", rest, maxsplit=1)[0]
    return f"{scheme}{mark}{where}" + ("/..." if len(rest) > len(where) + 1 else "")
