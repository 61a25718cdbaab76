"""Query strings, read as Go's net/url reads them."""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

from nsqcore.errors import HttpError
from nsqcore.golang import go_quote

_BAD_ESCAPE = re.compile("%(?![0-9A-Fa-f]{2}).{0,2}", re.DOTALL)


class QueryError(HttpError):
    """A query can't be read; ``reason`` is Go's, for the log."""

    def __init__(self, reason: str) -> None:
        super().__init__(400, "INVALID_REQUEST")
        self.reason = reason


def parse_query(query: str) -> dict[str, str]:
    """The first value of each parameter; raises QueryError, a 400 ``INVALID_REQUEST``, for a bad query.

    A ``;`` or a broken percent escape anywhere makes the whole query invalid. Bytes that are not UTF-8
    come through as surrogate escapes, so that no valid name can be forged with them.
    """
    found: dict[str, str] = {}
    if not query:
        return found
    if ";" in query:
        raise QueryError("invalid semicolon separator in query")
    for pair in query.split("&"):
        if pair:
            key, _, value = pair.partition("=")
            found.setdefault(_unescape(key), _unescape(value))
    return found


def _unescape(text: str) -> str:
    if "%" in text:
        bad = _BAD_ESCAPE.search(text)
        if bad:
            raise QueryError(f"invalid URL escape {go_quote(_bytes(bad[0]))}")
        return unquote_to_bytes(_bytes(text.replace("+", " "))).decode("utf-8", "surrogateescape")
    return text.replace("+", " ")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
