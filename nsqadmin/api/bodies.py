"""The JSON bodies of requests, taken as the original takes them: generously, and with its words where they are wrong.

The first value of the body counts and what follows does not. Letter case of a member's name doesn't matter, the last
of several counts, null is as if it were not there, and bytes that are no UTF-8 are replaced.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import NoReturn

from nsqcore.errors import HttpError
from nsqcore.golang import go_key

_BLANKS = " \t\r\n"
_BEGINNINGS = ("true", "false", "null", "-")


class _Members(list[tuple[str, object]]):
    """What an object holds, in its order: a name may be there twice, in two spellings."""


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")


_decoder = json.JSONDecoder(
    object_pairs_hook=_Members,
    parse_constant=_no_number,
    parse_int=float,  # a number of a million digits costs nothing so; none is wanted here
)


def read_texts_of(body: bytes, *names: str) -> Mapping[str, str]:
    """The members of these names, empty where they are missing; raises HttpError 400 with what is wrong."""
    text = body.decode("utf-8", "replace").lstrip(_BLANKS)
    if not text:
        raise HttpError(400, "EOF")
    try:
        value, _ = _decoder.raw_decode(text)
    except json.JSONDecodeError as e:
        raise HttpError(400, "unexpected EOF" if _is_cut(text, e) else f"invalid JSON: {e}") from None
    except (ValueError, RecursionError) as e:
        raise HttpError(400, f"invalid JSON: {e}") from None
    found = dict.fromkeys(names, "")
    if value is None:
        return found
    if not isinstance(value, _Members):
        raise HttpError(400, f"json: cannot unmarshal {_kind(value)} into an object")
    by_key = {go_key(name): name for name in names}
    for key, item in value:
        name = by_key.get(go_key(key))
        if name is None or item is None:
            continue
        if not isinstance(item, str):
            raise HttpError(
                400, f"json: cannot unmarshal {_kind(item)} into Go struct field .{name} of type string"
            )
        found[name] = item
    return found


def _is_cut(text: str, error: json.JSONDecodeError) -> bool:
    """Whether nothing is wrong but that it ends too early."""
    rest = text[error.pos :]
    return (
        not rest.strip(_BLANKS)
        or error.msg.startswith("Unterminated")
        or any(word.startswith(rest) for word in _BEGINNINGS)
    )


def _kind(value: object) -> str:
    """As Go calls it."""
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, str):
        return "string"
    if isinstance(value, _Members):
        return "object"
    return "array" if isinstance(value, list) else "number"
