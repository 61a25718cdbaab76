"""Query strings, read as Go's net/url reads them."""

from __future__ import annotations

from urllib.parse import unquote_to_bytes

from nsqcore.errors import HttpError

_HEX = frozenset("0123456789abcdefABCDEF")


def parse_query(query: str) -> dict[str, str]:
    """The first value of each parameter; raises HttpError 400 ``INVALID_REQUEST`` for a bad query.

    A ``;`` or a broken percent escape anywhere makes the whole query invalid. Bytes that are not UTF-8
    come through as surrogate escapes, so that no valid name can be forged with them.
    """
    found: dict[str, str] = {}
    if not query:
        return found
    if ";" in query:
        raise HttpError(400, "INVALID_REQUEST")
    for pair in query.split("&"):
        if pair:
            key, _, value = pair.partition("=")
            found.setdefault(_unescape(key), _unescape(value))
    return found


def _unescape(text: str) -> str:
    if "%" in text:
        _, *escapes = text.split("%")
        if any(len(e) < 2 or e[0] not in _HEX or e[1] not in _HEX for e in escapes):
            raise HttpError(400, "INVALID_REQUEST")
        raw = text.replace("+", " ").encode("utf-8", "surrogateescape")
        return unquote_to_bytes(raw).decode("utf-8", "surrogateescape")
    return text.replace("+", " ")
