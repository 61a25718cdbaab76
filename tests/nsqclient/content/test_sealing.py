from __future__ import annotations

import pytest

from nsqclient import CodecError, ConfigError, Outgoing, codecs, propagate, scope
from nsqclient.content import propagation
from nsqclient.content.envelope import unwrap, wrap
from nsqclient.content.sealing import HeadersMode, seal


@pytest.fixture(autouse=True)
def declared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(propagation, "_declared", set())
    propagate("tenant")


@pytest.mark.parametrize("mode", ["never", "auto"])
def test_without_headers_there_is_no_envelope(mode: HeadersMode) -> None:
    assert seal(Outgoing("t", {"a": 1}), codecs.auto, mode).body(0) == b'{"a":1}'


def test_always_means_always() -> None:
    headers, payload = unwrap(seal(Outgoing("t", "å"), codecs.auto, "always").body(0))
    assert payload == "å".encode()
    assert headers["content-type"] == "text/plain; charset=utf-8"
    assert headers["sent-at"].endswith("+00:00")


def test_with_something_to_send_there_is_an_envelope() -> None:
    outgoing = Outgoing("t", b"x", {"colour": "red"}, key="k")
    headers, payload = unwrap(seal(outgoing, codecs.auto, "auto").body(0))
    assert payload == b"x"
    assert headers.keys() == {"colour", "message-key", "content-type", "sent-at"}


def test_a_payload_that_looks_wrapped_is_wrapped_once_more() -> None:
    body = wrap({"a": "b"}, b"x")
    assert unwrap(seal(Outgoing("t", body), codecs.raw, "auto").body(0))[1] == body
    assert seal(Outgoing("t", body), codecs.raw, "never").body(0) == body


async def test_the_deadline_is_stamped_for_each_attempt() -> None:
    async with scope(timeout=5, propagate_deadline=True, tenant="a"):
        sealed = seal(Outgoing("t", b"x", delay=1), codecs.auto, "auto")
        deadline = scope.deadline()
    assert deadline is not None
    first, second = (unwrap(sealed.body(deadline - left))[0] for left in (4.0, 2.5))
    assert (first["deadline-ms"], second["deadline-ms"]) == ("5000", "3500")
    assert first["value-tenant"] == "a"


async def test_what_only_headers_can_carry_is_refused_without_them() -> None:
    def refused(outgoing: Outgoing, what: str) -> None:
        with pytest.raises(ConfigError, match=f"{what}.*headers="):
            seal(outgoing, codecs.auto, "never")

    refused(Outgoing("t", b"x", {"colour": "red"}), "colour")
    refused(Outgoing("t", b"x", key="k"), "message key")
    async with scope(tenant="a"):
        refused(Outgoing("t", b"x"), "tenant")
    async with scope(timeout=5):
        refused(Outgoing("t", b"x", propagate_deadline=True), "deadline")
        seal(Outgoing("t", b"x"), codecs.auto, "never")
    async with scope(timeout=5, propagate_deadline=True):
        refused(Outgoing("t", b"x"), "deadline")
        seal(Outgoing("t", b"x", propagate_deadline=False), codecs.auto, "never")


def test_a_value_that_can_not_be_encoded_is_refused() -> None:
    with pytest.raises(CodecError):
        seal(Outgoing("t", object()), codecs.auto, "auto")
