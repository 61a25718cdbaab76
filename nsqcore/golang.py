"""How Go writes JSON and quotes text: dashboards and scripts compare these bytes."""

from __future__ import annotations

import asyncio
import json
import os
import re
import socket

_HTML_SAFE = str.maketrans(
    {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}
)
_ESCAPED = re.compile(r"\\.")
_NO_SHORT_FORM = {"\\b": "\\u0008", "\\f": "\\u000c"}
_SURROGATE = re.compile("[\ud800-\udfff]")
_ESCAPES = {
    "\a": r"\a",
    "\b": r"\b",
    "\f": r"\f",
    "\n": r"\n",
    "\r": r"\r",
    "\t": r"\t",
    "\v": r"\v",
    "\\": r"\\",
    '"': r"\"",
}


def go_json(value: object) -> bytes:
    """``value`` as Go's encoding/json writes it: no blanks, UTF-8 as is, ``<``, ``>`` and ``&`` escaped.

    Keys keep the order given. Bytes that were not UTF-8 (surrogate escapes) become ``\\ufffd``. Give whole
    numbers as ``int``: Go writes no ``.0``.
    """
    text = go_escapes(json.dumps(value, ensure_ascii=False, separators=(",", ":")))
    try:
        return text.encode()
    except UnicodeEncodeError:
        return _SURROGATE.sub(r"\\ufffd", text).encode()


def go_escapes(text: str) -> str:
    """A JSON text with the escapes that Go uses: more of them, and no ``\\b`` and ``\\f``."""
    text = text.translate(_HTML_SAFE)
    if "\\b" in text or "\\f" in text:
        text = _ESCAPED.sub(lambda m: _NO_SHORT_FORM.get(m[0], m[0]), text)
    return text


def go_key(key: str) -> str:
    """A key of a JSON object by which Go would find its field: letter case does not count, nor does a long s."""
    return key.lower().replace("\u017f", "s")


def go_quote(text: bytes) -> str:
    """``text`` as Go's ``%q`` prints it: ``"bad\\x00name"``."""
    out = ['"']
    for c in text.decode("utf-8", "surrogateescape"):
        point = ord(c)
        if c in _ESCAPES:
            out.append(_ESCAPES[c])
        elif 0xDC80 <= point <= 0xDCFF:  # a byte that is not UTF-8
            out.append(f"\\x{point - 0xDC00:02x}")
        elif point < 0x20 or point == 0x7F:
            out.append(f"\\x{point:02x}")
        elif c.isprintable():
            out.append(c)
        else:
            out.append(f"\\u{point:04x}" if point < 0x10000 else f"\\U{point:08x}")
    out.append('"')
    return "".join(out)


def go_reason(error: BaseException) -> str:
    """What went wrong in Go's words: ``open /data/t.dat: no such file or directory``, ``i/o timeout``.

    For a failure that the system did not word, the exception's own text.
    """
    if isinstance(error, TimeoutError) and not error.errno:
        return "i/o timeout"
    if isinstance(error, socket.gaierror):
        return "no such host" if error.errno == socket.EAI_NONAME else str(error.strerror)
    if isinstance(error, OSError) and error.errno:
        why = os.strerror(error.errno).lower()
        return f"open {error.filename}: {why}" if error.filename else why
    if isinstance(error, asyncio.IncompleteReadError):
        return "unexpected EOF" if error.partial else "EOF"
    return str(error) or type(error).__name__
