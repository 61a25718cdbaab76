from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsqclient import (
    ConfigError,
    ConnectionOptions,
    Consumer,
    Endpoint,
    Lookup,
    Nsqd,
    Producer,
    from_env,
    from_url,
)
from nsqclient.connection.endpoint import SecretFile
from nsqclient.tls import Tls
from tests.support.fake_nsqd import FakeNsqd


def nsqds(url: str) -> tuple[str, ...]:
    target = from_url(url).target
    assert isinstance(target, Nsqd)
    return target.addresses


def lookups(url: str) -> tuple[str, ...]:
    target = from_url(url).target
    assert isinstance(target, Lookup)
    return target.lookup_urls


def test_addresses_of_nsqds() -> None:
    assert nsqds("nsqd://a:1") == ("a:1",)
    assert nsqds("nsqd://a,b:2,[::1],[::1]:3/") == ("a:4150", "b:2", "[::1]:4150", "[::1]:3")
    assert nsqds("nsqd+unix:///run/nsqd%20one.sock") == ("unix:/run/nsqd one.sock",)


def test_addresses_of_nsqlookupds() -> None:
    assert lookups("nsqlookup://a,b:2") == ("http://a:4161/lookup", "http://b:2/lookup")
    assert lookups("nsqlookups://a/x/lookup") == ("https://a:4161/x/lookup",)
    assert lookups("nsqlookup://[::1]:1") == ("http://[::1]:1/lookup",)


def test_without_settings_they_are_the_defaults() -> None:
    assert from_url("nsqd://a").options == ConnectionOptions()


def test_settings_of_connections() -> None:
    options = from_url(
        "nsqd://a?compress=prefer:snappy&heartbeat=10s&msg_timeout=1m30s&sample_rate=5&client_id=me%20too"
        "&read_timeout=25.5&max_msg_size=2048&topology_zone=z1&topology_region=eu&local_addr=127.0.0.2"
    ).options
    assert options.compress == "prefer:snappy"
    assert (options.heartbeat, options.msg_timeout, options.read_timeout) == (10, 90, 25.5)
    assert (options.sample_rate, options.client_id, options.local_addr) == (5, "me too", "127.0.0.2")
    assert options.limits.max_msg_size == 2048
    assert options.topology is not None
    assert (options.topology.region, options.topology.zone) == ("eu", "z1")


def test_settings_of_tls() -> None:
    assert from_url("nsqd://a?tls=require").options.tls == Tls()
    assert from_url("nsqd://a?tls=prefer").options.tls == Tls(mode="prefer")
    assert from_url("nsqd://a?tls=off").options.tls is None
    assert from_url(
        "nsqd://a?tls_ca=/ca.pem&tls_cert=/c.pem&tls_key=/c.key&tls_server_name=n&tls_verify=false"
        "&tls_min_version=1.3"
    ).options.tls == Tls(
        ca="/ca.pem", cert=("/c.pem", "/c.key"), server_name="n", verify=False, min_version="1.3"
    )


def test_settings_of_discovery() -> None:
    target = from_url("nsqlookups://a?ask=one&poll_interval=5s&poll_jitter=0.1&tls_ca=/ca.pem").target
    assert isinstance(target, Lookup)
    assert (target.ask, target.poll_interval, target.poll_jitter) == ("one", 5, 0.1)
    assert target.tls == Tls(ca="/ca.pem")
    plain = from_url("nsqlookup://a?tls=require").target
    assert isinstance(plain, Lookup)
    assert plain.tls is None


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("", "begins with nsqd://"),
        ("a:4150", "begins with nsqd://"),
        ("http://a:4161", "write nsqlookup://"),
        ("https://a:4161", "write nsqlookups://"),
        ("NSQD://a", "begins with"),
        ("nsqd://", "names no host"),
        ("nsqd://a,,b", "no host"),
        ("nsqd://a:0", "no host with a port"),
        ("nsqd://a:70000", "invalid port"),
        ("nsqd://a:b", "invalid port"),
        ("nsqd://::1", "too many colons"),
        ("nsqd://[::1", "in the URL"),
        ("nsqd://a/path", "has no path"),
        ("nsqd://a b", "no spaces"),
        ("nsqd://ä", "non-ASCII"),
        ("nsqd://a#x", "fragment"),
        ("nsqd://a?x", "of the form"),
        ("nsqd://a?x=1", "'x' is no setting; there are client_id, compress"),
        ("nsqd://a?ask=one", "'ask' is no setting for a nsqd"),
        ("nsqd://a?tls=require&tls=off", "tls is given twice"),
        ("nsqd://a?tls=maybe", "tls is 'maybe'"),
        ("nsqd://a?tls=off&tls_ca=x", "tls is off"),
        ("nsqd://a?tls_cert=x", "together"),
        ("nsqd://a?tls_verify=perhaps", "tls_verify is 'perhaps': want true or false"),
        ("nsqd://a?tls_min_version=1.0", "min_version"),
        ("nsqd://a?compress=zip", "compress is 'zip'"),
        ("nsqd://a?heartbeat=soon", "heartbeat is 'soon'"),
        ("nsqd://a?heartbeat=nan", "finite"),
        ("nsqd://a?heartbeat=0.1", "heartbeat is 0.1, want from 1 to 60"),
        ("nsqd://a?sample_rate=many", "sample_rate is 'many'"),
        ("nsqd+unix://host/path", "a unix socket's URL"),
        ("nsqd+unix:///", "a unix socket's URL"),
        ("nsqlookup://", "names no host"),
        ("nsqlookup://a?ask=some", "ask is 'some'"),
        ("nsqlookup://a?poll_interval=0", "positive"),
    ],
)
def test_a_wrong_url_is_told_what_is_wrong(url: str, text: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(text)):
        from_url(url)


@pytest.mark.parametrize(
    "url",
    ["nsqd://:hush@a", "nsqd://hush@a:1", "nsqd://a?auth=hush", "nsqlookup://u:hush@a", "http://hush@a"],
)
def test_a_secret_in_a_url_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        from_url(url)
    assert "hush" not in str(caught.value)


_WORDS = """nsqd nsqlookup s +unix :// : / ? & = , [ ] ::1 a b.c 4150 tls require compress snappy heartbeat
10s 1 - % %20 %00 @ # \0 é"""
_PARTS = st.sampled_from(_WORDS.split())


@given(st.one_of(st.lists(_PARTS).map("".join), st.text(), st.text().map(lambda t: f"nsqd://{t}")))
def test_any_text_is_an_endpoint_or_a_config_error(text: str) -> None:
    try:
        endpoint = from_url(text)
    except ConfigError:
        return
    assert isinstance(endpoint, Endpoint)
    assert endpoint.options.identify()


def test_the_environment_says_where_and_how(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("hush\n")
    endpoint = from_env(
        {
            "NSQ_URL": "nsqlookup://a?heartbeat=5",
            "NSQ_TLS_CA": "/ca.pem",
            "NSQ_TLS_CERT": "/c.pem",
            "NSQ_TLS_KEY": "/c.key",
            "NSQ_COMPRESS": "deflate:6",
            "NSQ_TOPOLOGY_ZONE": "z",
            "NSQ_AUTH_SECRET_FILE": str(secret),
            "NSQ_LOOKUP_AUTH_SECRET": "hush too",
            "NSQ_CLIENT_ID": "",
            "PATH": "/bin",
        }
    )
    options, target = endpoint.options, endpoint.target
    assert options.tls == Tls(ca="/ca.pem", cert=("/c.pem", "/c.key"))
    assert (options.heartbeat, options.compress, options.client_id) == (5, "deflate:6", None)
    assert isinstance(options.auth, SecretFile)
    assert options.auth() == "hush"
    assert isinstance(target, Lookup)
    assert target.auth == "hush too"
    assert "hush" not in repr(endpoint)


@pytest.mark.parametrize(
    ("environ", "text"),
    [
        ({}, "NSQ_URL is not set"),
        ({"NSQ_URL": ""}, "NSQ_URL is not set"),
        (
            {"NSQ_URL": "nsqd://a?compress=snappy", "NSQ_COMPRESS": "snappy"},
            "both in NSQ_URL and as NSQ_COMPRESS",
        ),
        ({"NSQ_URL": "nsqd://a", "NSQ_AUTH_SECRET": "x", "NSQ_AUTH_SECRET_FILE": "y"}, "both"),
        ({"NSQ_URL": "nsqd://a", "NSQ_LOOKUP_AUTH_SECRET": "x"}, "names no nsqlookupd"),
        ({"NSQ_URL": "nsqd://a", "NSQ_COMPRESS": "zip"}, "compress is 'zip'"),
    ],
)
def test_a_wrong_environment_is_told_what_is_wrong(environ: dict[str, str], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        from_env(environ)


def test_it_is_the_environment_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NSQ_URL", "nsqd://a:1")
    monkeypatch.setenv("NSQ_AUTH_SECRET", "hush")
    assert from_env().options.auth == "hush"


async def test_an_endpoint_is_a_target_that_brings_its_options() -> None:
    async with FakeNsqd() as nsqd:
        endpoint = from_url(f"nsqd://{nsqd.address}?client_id=me").with_options(sample_rate=7)
        async with Producer(endpoint) as producer, Consumer("t", "c", endpoint):
            await producer.publish("t", b"x")
        assert [(link.identify["client_id"], link.identify["sample_rate"]) for link in nsqd.links] == [
            ("me", 7)
        ] * 2
        with pytest.raises(ConfigError, match="with_options"):
            Producer(endpoint, options=ConnectionOptions())
        with pytest.raises(ConfigError, match="with_options"):
            Consumer("t", "c", endpoint, options=ConnectionOptions())
