"""One blocking HTTP request, sent as it is written: no redirects, no second encoding of the path."""

from __future__ import annotations

import http.client
import json
from typing import Any

TIMEOUT_S = 10.0


def fetch(address: str, path: str, *, method: str = "GET", body: bytes = b"") -> tuple[int, bytes]:
    """Status and body of the answer that ``host:port`` gives."""
    connection = http.client.HTTPConnection(address, timeout=TIMEOUT_S)
    try:
        connection.request(method, path, body=body or None)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def fetch_json(address: str, path: str) -> Any:
    """The JSON of an answer with status 200."""
    status, body = fetch(address, path)
    assert status == 200, f"{status} {body!r}"
    return json.loads(body)


def post(address: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
    """As :func:`fetch` with POST."""
    return fetch(address, path, method="POST", body=body)
