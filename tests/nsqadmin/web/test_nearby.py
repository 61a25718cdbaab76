"""Who is near: by the peer's address, and by what proxies say of whom they ask for."""

from __future__ import annotations

from unittest.mock import Mock

import pytest
from aiohttp.test_utils import make_mocked_request
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from nsqadmin.web.nearby import Nearby, read_network
from nsqcore.errors import HttpError

HERE, OUT, IN = ("127.0.0.1", 5), "403 FORBIDDEN", "in"
LOOPBACK = "127.0.0.1/8"


def judged(cidr: str, peer: object, *headers: tuple[str, str]) -> str:
    """``in``, or the refusal."""
    transport = Mock()
    transport.get_extra_info = lambda name, default=None: peer if name == "peername" else default
    request = make_mocked_request("GET", "/", headers=CIMultiDict(headers), transport=transport)
    try:
        Nearby(read_network(cidr) if cidr else None).admit(request)
    except HttpError as e:
        return f"{e.status} {e.code}"
    return IN


@pytest.mark.parametrize(
    ("cidr", "peer", "verdict"),
    [
        (LOOPBACK, HERE, IN),
        (LOOPBACK, ("127.9.9.9", 5), IN),
        (LOOPBACK, ("::ffff:127.0.0.1", 5, 0, 0), IN),
        (LOOPBACK, ("128.0.0.1", 5), OUT),
        (LOOPBACK, ("::1", 5, 0, 0), OUT),
        ("::1/128", ("::1", 5, 0, 0), IN),
        ("::1/128", HERE, OUT),
        ("0.0.0.0/0", ("8.8.8.8", 5), IN),
        ("10.1.2.3/16", ("10.1.9.9", 5), IN),
        ("::ffff:10.0.0.0/104", ("10.1.9.9", 5), IN),
        ("", HERE, OUT),
        (LOOPBACK, "", "400 INVALID_REMOTE_ADDR"),
        (LOOPBACK, b"\0name", "400 INVALID_REMOTE_ADDR"),
        (LOOPBACK, None, "400 INVALID_REMOTE_ADDR"),
    ],
)
def test_a_peer_is_judged_by_its_address(cidr: str, peer: object, verdict: str) -> None:
    assert judged(cidr, peer) == verdict


@pytest.mark.parametrize(
    ("headers", "verdict"),
    [
        ([("X-Forwarded-For", "127.0.0.2")], IN),
        ([("X-Forwarded-For", "127.0.0.2, 127.0.0.1:99"), ("X-Forwarded-Proto", "https")], IN),
        ([("X-Forwarded-For", "8.8.8.8")], OUT),
        ([("X-Forwarded-For", "127.0.0.1, 8.8.8.8")], OUT),
        ([("X-Forwarded-For", "8.8.8.8, 127.0.0.1")], OUT),
        ([("X-Forwarded-For", "127.0.0.1"), ("X-Forwarded-For", "8.8.8.8")], OUT),
        ([("X-Forwarded-For", "127.0.0.1"), ("X-Real-IP", "8.8.8.8")], OUT),
        ([("X-Forwarded-For", "")], OUT),
        ([("X-Forwarded-For", "unknown")], OUT),
        ([("X-Real-IP", "127.0.0.1")], IN),
        ([("Forwarded", "for=127.0.0.1;proto=http")], IN),
        ([("Forwarded", 'for="127.0.0.1:47011", For=127.0.0.3')], IN),
        ([("Forwarded", "for=127.0.0.1, for=8.8.8.8")], OUT),
        ([("Forwarded", 'for="[2001:db8::1]:80"')], OUT),
        ([("Forwarded", "for=_hidden")], OUT),
        ([("Forwarded", "by=127.0.0.1")], OUT),
        ([("Via", "1.1 proxy")], OUT),
        ([("X-Forwarded-Host", "admin.example.com")], OUT),
        ([("X-Forwarded-Proto", "https")], OUT),
        ([("X-Scheme", "https")], OUT),
        ([("X-Forwarded-User", "ann")], IN),
    ],
)
def test_what_proxies_say_can_only_close_the_door(headers: list[tuple[str, str]], verdict: str) -> None:
    assert judged(LOOPBACK, HERE, *headers) == verdict
    assert judged(LOOPBACK, ("8.8.8.8", 5), *headers) == OUT, "nobody talks himself in"


@pytest.mark.parametrize(
    "text",
    ["x", "127.0.0.1", "127.0.0.1/33", "127.1/8", " 127.0.0.1/8", "010.0.0.0/8", "fe80::1%eth0/64", "::/129",
     "127.0.0.1/8,10.0.0.0/8", "127.0.0.0/255.0.0.0", "/8", "127.0.0.1/", "127.0.0.1/-1", "127.0.0.1/8 "],
)  # fmt: skip
def test_what_is_no_cidr_is_refused_in_gos_words(text: str) -> None:
    with pytest.raises(ValueError) as refused:  # noqa: PT011 - the text is compared below
        read_network(text)
    assert str(refused.value) == f"invalid CIDR address: {text}"


names = st.sampled_from(["X-Forwarded-For", "Forwarded", "X-Real-IP", "Via", "X-Scheme"])
values = st.text(alphabet='for=127.01:8,;"[] xé', max_size=40)


@given(st.lists(st.tuples(names, values), max_size=4))
def test_no_header_opens_what_is_closed_and_none_breaks_the_judge(headers: list[tuple[str, str]]) -> None:
    assert judged(LOOPBACK, ("8.8.8.8", 5), *headers) == OUT
    assert judged(LOOPBACK, HERE, *headers) in (IN, OUT)


@given(st.text(max_size=30) | st.from_regex(r"[0-9.:/a-f]{1,30}"))
def test_any_text_is_a_network_or_refused(text: str) -> None:
    try:
        network = read_network(text)
    except ValueError:
        return
    assert Nearby(network).network == network
