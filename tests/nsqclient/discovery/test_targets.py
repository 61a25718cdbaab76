from __future__ import annotations

from typing import Any

import pytest

from nsqclient import ConfigError, Lookup, Nsqd
from nsqclient.discovery.targets import to_target


def test_a_string_or_several_are_nsqd_addresses() -> None:
    one, several = to_target("a:4150"), to_target(["a:4150", "b:4150", "a:4150"])
    assert isinstance(one, Nsqd)
    assert isinstance(several, Nsqd)
    assert one.addresses == ("a:4150",)
    assert several.addresses == ("a:4150", "b:4150")


def test_targets_stay_what_they_are() -> None:
    lookup = Lookup("http://a:4161")
    assert to_target(lookup) is lookup
    assert repr(to_target(Nsqd("a:1", "unix:/run/nsqd"))) == "Nsqd('a:1', 'unix:/run/nsqd')"


@pytest.mark.parametrize(
    ("address", "text"),
    [
        ("a", "missing port"),
        ("a:b", "invalid port"),
        ("::1:4150", "too many colons"),
        ("unix:", "unix:/path"),
        ("http://a:4161", "Lookup"),
    ],
)
def test_a_wrong_nsqd_address_is_refused(address: str, text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        Nsqd(address)


def test_there_is_at_least_one_address() -> None:
    with pytest.raises(ConfigError):
        Nsqd()
    with pytest.raises(ConfigError):
        Lookup()
    with pytest.raises(ConfigError):
        to_target([])


@pytest.mark.parametrize(
    ("url", "lookup", "nodes"),
    [
        ("a:4161", "http://a:4161/lookup", "http://a:4161/nodes"),
        ("http://a:4161/", "http://a:4161/lookup", "http://a:4161/nodes"),
        ("https://a:443/x/lookup", "https://a:443/x/lookup", "https://a:443/x/nodes"),
        ("http://a:1/x?key=v", "http://a:1/x?key=v", "http://a:1/x/nodes?key=v"),
        ("http://[::1]:4161", "http://[::1]:4161/lookup", "http://[::1]:4161/nodes"),
    ],
)
def test_urls_are_completed(url: str, lookup: str, nodes: str) -> None:
    target = Lookup(url)
    assert (target.lookup_urls, target.nodes_urls) == ((lookup,), (nodes,))
    assert repr(target) == f"Lookup({lookup!r})"


@pytest.mark.parametrize("url", ["http://a", "ftp://a:1", "a:port", "http://:4161", ""])
def test_a_wrong_url_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="not a nsqlookupd address"):
        Lookup(url)


@pytest.mark.parametrize(
    "settings", [{"poll_interval": 0}, {"poll_jitter": 1.5}, {"connect_timeout": 0}, {"request_timeout": 0}]
)
def test_wrong_settings_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        Lookup("a:1", **settings)
