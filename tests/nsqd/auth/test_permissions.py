"""An auth server's answer: what is understood, what is refused, what it allows."""

from __future__ import annotations

from typing import Any

import pytest

from nsqd.auth.permissions import LONGEST_TTL_S, BadAnswer, parse

ENTRY = {"topic": "^t", "channels": ["^c$", ".*"], "permissions": ["subscribe", "publish"]}


def entry(topic: str, channels: list[str], permissions: list[str]) -> dict[str, Any]:
    return {"topic": topic, "channels": channels, "permissions": permissions}


def test_an_answer_is_understood_whole() -> None:
    permissions = parse(
        {"ttl": 60, "identity": "joe", "identity_url": "http://j", "authorizations": [ENTRY, ENTRY], "x": []}
    )
    assert (permissions.ttl, permissions.identity, permissions.identity_url) == (60, "joe", "http://j")
    assert len(permissions.authorizations) == 2


@pytest.mark.parametrize(
    "answer",
    [
        {"TTL": 5, "Authorizations": [{"TOPIC": "^t", "Channels": [""], "permissionS": ["publish"]}]},
        {"ttl": 5, "identity": None, "authorizations": [entry("", [""], ["publish"]), None]},
        {"ttl": 5, "authorizations": [{"topic": None, "channels": [None], "permissions": ["publish"]}]},
    ],
)
def test_keys_have_any_letter_case_and_null_is_as_if_absent(answer: dict[str, Any]) -> None:
    assert parse(answer).allow("PUB", "t")


@pytest.mark.parametrize("answer", [{"ttl": 5}, {"ttl": 5, "authorizations": None}])
def test_there_may_be_no_authorizations(answer: object) -> None:
    assert parse(answer).authorizations == ()
    assert not parse(answer).allow("PUB", "t")


def test_a_very_long_time_to_live_is_cut() -> None:
    assert parse({"ttl": (1 << 63) - 1}).ttl == LONGEST_TTL_S


BAD: dict[str, tuple[object, str]] = {
    "null": (None, "invalid TTL 0 (must be >0)"),
    "no object": ([], "expected a JSON object, not list"),
    "text": ("OK", "expected a JSON object, not str"),
    "no ttl": ({"authorizations": [ENTRY]}, "invalid TTL 0 (must be >0)"),
    "a negative ttl": ({"ttl": -1}, "invalid TTL -1 (must be >0)"),
    "a fraction": ({"ttl": 5.0}, "ttl is not of type int"),
    "a boolean": ({"ttl": True}, "ttl is not of type int"),
    "an identity that is a number": ({"ttl": 5, "identity": 5}, "identity is not of type str"),
    "an identity that is a list": ({"ttl": 5, "identity_url": []}, "identity_url is not of type str"),
    "authorizations that are no list": ({"ttl": 5, "authorizations": {}}, "authorizations is not a list"),
    "an entry that is no object": ({"ttl": 5, "authorizations": ["t"]}, "expected a JSON object, not str"),
    "channels that are no list": (
        {"ttl": 5, "authorizations": [{"channels": "c"}]},
        "channels is not a list",
    ),
    "a channel that is no text": (
        {"ttl": 5, "authorizations": [{"channels": [1]}]},
        "expected text, not int",
    ),
    "an unknown permission": (
        {"ttl": 5, "authorizations": [entry("", [], ["admin"])]},
        "unknown permission admin",
    ),
    "a permission in capitals": (
        {"ttl": 5, "authorizations": [entry("", [], ["PUBLISH"])]},
        "unknown permission PUBLISH",
    ),
    "a topic pattern": (
        {"ttl": 5, "authorizations": [entry("(", [], [])]},
        'unable to compile topic "(" error parsing regexp: missing ): (',
    ),
    "a channel pattern": (
        {"ttl": 5, "authorizations": [entry("t", ["a", "*"], [])]},
        'unable to compile channel "*" error parsing regexp: no argument for repetition operator: *',
    ),
}


@pytest.mark.parametrize(("answer", "reason"), BAD.values(), ids=BAD.keys())
def test_an_answer_that_is_not_what_it_has_to_be_is_refused(answer: object, reason: str) -> None:
    with pytest.raises(BadAnswer) as caught:
        parse(answer)
    assert str(caught.value) == reason


BOTH = ["publish", "subscribe"]
# (authorizations, command, topic, channel, allowed)
ALLOWED: list[tuple[list[dict[str, Any]], str, str, str, bool]] = [
    ([entry(".*", [".*"], BOTH)], "PUB", "t", "", True),
    ([entry(".*", [".*"], BOTH)], "SUB", "t", "c", True),
    ([entry(".*", [".*"], ["publish"])], "SUB", "t", "c", False),
    ([entry(".*", [".*"], ["subscribe"])], "PUB", "t", "", False),
    ([entry(".*", [".*"], ["subscribe"])], "MPUB", "t", "", False),
    ([entry(".*", [".*"], ["subscribe"])], "DPUB", "t", "", False),
    ([entry(".*", [".*"], [])], "PUB", "t", "", False),
    ([entry("^t$", [".*"], BOTH)], "PUB", "t", "", True),
    ([entry("^t$", [".*"], BOTH)], "PUB", "tt", "", False),
    ([entry("opi", ["ha"], BOTH)], "SUB", "topic", "channel", True),
    ([entry("opi", ["ha"], BOTH)], "SUB", "topic", "cnannel", False),
    ([entry(".*", ["^c$"], BOTH)], "PUB", "t", "", False),
    ([entry(".*", [], BOTH)], "PUB", "t", "", False),
    ([entry(".*", [], BOTH)], "SUB", "t", "c", False),
    ([entry(".*", ["x", "^c$"], BOTH)], "SUB", "t", "c", True),
    ([entry("a", [".*"], BOTH), entry("b", [".*"], ["publish"])], "PUB", "b", "", True),
    ([entry("a", [".*"], BOTH), entry("b", [".*"], ["publish"])], "SUB", "b", "c", False),
    ([entry("", [""], BOTH)], "SUB", "t#ephemeral", "c#ephemeral", True),
    ([], "PUB", "t", "", False),
]


@pytest.mark.parametrize(("authorizations", "command", "topic", "channel", "allowed"), ALLOWED)
def test_any_entry_that_allows_is_enough(
    authorizations: list[dict[str, Any]], command: str, topic: str, channel: str, allowed: bool
) -> None:
    permissions = parse({"ttl": 1, "authorizations": authorizations})
    for _ in range(2):  # the second time from memory
        assert permissions.allow(command, topic, channel) is allowed


def test_decisions_are_remembered_without_growing_for_ever() -> None:
    permissions = parse({"ttl": 1, "authorizations": [entry("^t.*5$", [".*"], BOTH)]})
    for n in range(3000):
        assert permissions.allow("PUB", f"t{n}") is (n % 10 == 5)
    assert len(permissions._decided) <= 1000
