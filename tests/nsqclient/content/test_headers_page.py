"""The description of the envelope in ``docs/client/headers.md`` is true."""

from __future__ import annotations

import re

from nsqclient.content.envelope import MAX_HEADERS, unwrap, wrap
from tests.support.processes import ROOT

PAGE = (ROOT / "docs" / "client" / "headers.md").read_text("utf-8")


def test_the_example_is_an_envelope() -> None:
    rows = re.findall(r"^[0-9a-f]{4}  ((?:[0-9a-f]{2} )+)", PAGE, re.MULTILINE)
    body = bytes.fromhex("".join(rows))
    headers = {"message-key": "order-17", "content-type": "application/json"}
    assert unwrap(body) == (headers, b'{"id":17}')
    assert wrap(headers, b'{"id":17}') == body


def test_the_magic_and_the_limit_are_told() -> None:
    assert wrap({}, b"")[:8].hex(" ") in PAGE
    assert f"{MAX_HEADERS:,} at most" in PAGE
