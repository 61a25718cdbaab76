"""Reads what a form sent."""

from __future__ import annotations

from urllib.parse import parse_qsl

from aiohttp import web

from nsqadmin.web.http_server import read_body
from nsqcore.errors import HttpError

_MOST_FIELDS = 20


async def read_form(request: web.Request) -> dict[str, str]:
    """The fields of a form; raises HttpError 400 ``INVALID_REQUEST`` for a body that is none of ours."""
    try:
        text = (await read_body(request)).decode()
        return dict(parse_qsl(text, keep_blank_values=True, max_num_fields=_MOST_FIELDS, errors="strict"))
    except ValueError:
        raise HttpError(400, "INVALID_REQUEST") from None
