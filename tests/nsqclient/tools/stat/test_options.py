from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsqclient.tools.common.failures import Refused
from nsqclient.tools.stat.options import StatOptions, check
from nsqcore.durations import Duration
from nsqcore.options import UsageError, flags_of

GOOD = {"topic": "t", "channel": ["c"], "nsqd_http_address": ["127.0.0.1:4151"]}
NONE, BEFORE = Duration(0), Duration(-1)
ADDRESS = ["127.0.0.1:4161"]


def options(**given: Any) -> StatOptions:
    return StatOptions(**(GOOD | given))


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"count": 1},
        {"channel": ["c", "d"]},
        {"channel": [], "all_channels": True},
        {"nsqd_http_address": [], "lookupd_http_address": ADDRESS * 2},
        {"nsqd_http_address": ["httpd1:4151", "[::1]:4151"]},
    ],
)
def test_what_makes_sense_is_accepted(given: dict[str, Any]) -> None:
    check(options(**given))


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"topic": ""}, "--topic and --channel are required"),
        ({"channel": []}, "--topic and --channel are required"),
        ({"channel": [""]}, "--topic and --channel are required"),
        ({"all_channels": True}, "use --channel or --all-channels not both"),
        ({"interval": NONE}, "--interval should be positive"),
        ({"http_client_connect_timeout": NONE}, "--http-client-connect-timeout should be positive"),
        ({"http_client_request_timeout": BEFORE}, "--http-client-request-timeout should be positive"),
        ({"count": 0}, "--count should be positive"),
        ({"nsqd_http_address": []}, "--nsqd-http-address or --lookupd-http-address required"),
        ({"lookupd_http_address": ADDRESS}, "use --nsqd-http-address or --lookupd-http-address not both"),
        (
            {"nsqd_http_address": ["127.0.0.1:1", "http://a:1"]},
            "--nsqd-http-address error - address should not contain scheme",
        ),
        (
            {"nsqd_http_address": [], "lookupd_http_address": ["https://a:1"]},
            "--lookupd-http-address error - address should not contain scheme",
        ),
        ({"nsqd_http_address": ["a"]}, "--nsqd-http-address error - address a: missing port in address"),
    ],
)
def test_what_makes_none_is_refused_in_the_words_of_the_original(given: dict[str, Any], text: str) -> None:
    with pytest.raises(Refused) as refusal:
        check(options(**given))
    assert str(refusal.value) == text


def test_of_several_mistakes_the_first_is_told_in_the_order_of_the_original() -> None:
    wrong: dict[str, Any] = {
        "topic": "",
        "interval": NONE,
        "http_client_connect_timeout": NONE,
        "http_client_request_timeout": NONE,
        "count": 0,
        "lookupd_http_address": ["http://b:1"],
        "nsqd_http_address": ["http://a:1"],
    }
    told = []
    while wrong:
        with pytest.raises(Refused) as refusal:
            check(options(**wrong))
        told.append(str(refusal.value))
        wrong.pop(next(iter(wrong)))
    assert [text.split()[0] for text in told] == [
        "--topic",
        "--interval",
        "--http-client-connect-timeout",
        "--http-client-request-timeout",
        "--count",
        "use",
        "--nsqd-http-address",
    ]


FLAGS = {flag.name: flag for flag in flags_of(StatOptions)}


@pytest.mark.parametrize("text", ["x", "", "1.5", "0x2", "1_0", " 1", "9223372036854775808", "٣"])
def test_a_count_that_is_no_number_is_a_bad_flag(text: str) -> None:
    with pytest.raises(UsageError) as error:
        FLAGS["count"].parse(text)
    assert str(error.value).startswith(f'invalid value "{text}" for flag -count: strconv.ParseInt: parsing')


@given(st.text(max_size=30))
def test_any_text_is_a_count_or_a_bad_flag(text: str) -> None:
    try:
        value = FLAGS["count"].parse(text)
    except UsageError:
        return
    assert isinstance(value, int)
    assert value >= 0


def test_counts_below_one_are_kept_for_the_check() -> None:
    assert [FLAGS["count"].parse(text) for text in ("3", "+3", "0", "-1", "-7")] == [3, 3, 0, 0, 0]


def test_a_form_that_does_not_exist_is_a_bad_flag() -> None:
    assert FLAGS["format"].parse("json") == "json"
    with pytest.raises(UsageError, match="want auto, text, json, csv or table"):
        FLAGS["format"].parse("xml")
