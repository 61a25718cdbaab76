"""Which endpoint a request is for, and where it is sent that is for none."""

from __future__ import annotations

import time
from typing import NamedTuple

import pytest

from nsqcore.http_routes import Found, Moved, Routes, WrongMethod, clean_path


class Endpoint(NamedTuple):
    method: str
    path: str


ROUTES = Routes(
    [
        Endpoint("GET", "/ping"),
        Endpoint("POST", "/pub"),
        Endpoint("GET", "/config/{opt}"),
        Endpoint("PUT", "/config/{opt}"),
        Endpoint("GET", "/debug/pprof/"),
        Endpoint("GET", "/symbol"),
        Endpoint("POST", "/symbol"),
    ]
)


@pytest.mark.parametrize(
    ("method", "path", "args"),
    [
        ("GET", "/ping", {}),
        ("POST", "/symbol", {}),
        ("GET", "/config/log_level", {"opt": "log_level"}),
        ("PUT", "/config/a b", {"opt": "a b"}),
        ("GET", "/debug/pprof/", {}),
    ],
)
def test_an_endpoint_is_found(method: str, path: str, args: dict[str, str]) -> None:
    found = ROUTES.find(method, path)
    assert isinstance(found, Found)
    assert (found.endpoint.method, found.args) == (method, args)


@pytest.mark.parametrize(
    ("method", "path", "meant"),
    [
        ("GET", "/ping/", "/ping"),
        ("GET", "/PING", "/ping"),
        ("GET", "/Ping/", "/ping"),
        ("GET", "//ping", "/ping"),
        ("GET", "/a/../ping", "/ping"),
        ("GET", "/./ping/.", "/ping"),
        ("GET", "/../../PING", "/ping"),
        ("POST", "//PUB/", "/pub"),
        ("GET", "/debug/pprof", "/debug/pprof/"),
        ("GET", "/DEBUG/pprof", "/debug/pprof/"),
        ("GET", "/config/Log_Level/", "/config/Log_Level"),
        ("GET", "/CONFIG/Log_Level", "/config/Log_Level"),
        ("PUT", "/x/..//Config/a", "/config/a"),
    ],
)
def test_a_misspelt_path_is_moved_to_the_one_that_was_meant(method: str, path: str, meant: str) -> None:
    assert ROUTES.find(method, path) == Moved(meant)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("POST", "/ping", "GET, OPTIONS"),
        ("HEAD", "/ping", "GET, OPTIONS"),
        ("get", "/ping", "GET, OPTIONS"),
        ("GET", "/pub", "OPTIONS, POST"),
        ("DELETE", "/symbol", "GET, OPTIONS, POST"),
        ("OPTIONS", "/config/x", "GET, OPTIONS, PUT"),
        ("GET", "*", "GET, OPTIONS, POST, PUT"),
    ],
)
def test_a_wrong_method_is_told_the_right_ones(method: str, path: str, allowed: str) -> None:
    assert ROUTES.find(method, path) == WrongMethod(allowed)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("GET", ""),
        ("GET", "/nothing"),
        ("HEAD", "/ping/"),
        ("DELETE", "/PING"),
        ("POST", "/ping/"),
        ("GET", "/config/"),
        ("GET", "/config/a/b"),
        ("OPTIONS", "/nothing"),
        ("CONNECT", ""),
    ],
)
def test_nothing_is_found_where_nothing_is(method: str, path: str) -> None:
    assert ROUTES.find(method, path) is None


@pytest.mark.parametrize(
    ("path", "clean"),
    [
        ("", "/"),
        ("a", "/a"),
        ("/a//b", "/a/b"),
        ("/a/./b/", "/a/b/"),
        ("/a/..", "/"),
        ("/../a", "/a"),
        ("/a/.", "/a/"),
    ],
)
def test_paths_are_cleaned(path: str, clean: str) -> None:
    assert clean_path(path) == clean


def test_a_path_of_a_mebibyte_is_cleaned_in_no_time() -> None:
    started = time.process_time()
    assert clean_path("/a" * 200_000 + "/.." * 200_000) == "/"
    assert time.process_time() - started < 1
