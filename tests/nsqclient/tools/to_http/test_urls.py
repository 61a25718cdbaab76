from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsqclient.tools.to_http.urls import Origin, parse_url, quoted, redirected


@pytest.mark.parametrize(
    ("text", "origin", "path", "lines"),
    [
        ("http://a", ("http", "a", 80), "/", "Host: a"),
        ("http://a:80/x", ("http", "a", 80), "/x", "Host: a"),
        ("HTTP://A.example:8080/x?y=1&z", ("http", "a.example", 8080), "/x?y=1&z", "Host: a.example:8080"),
        ("https://a/?q", ("https", "a", 443), "/?q", "Host: a"),
        ("https://a:80/", ("https", "a", 80), "/", "Host: a:80"),
        ("http://[::1]:99/x", ("http", "::1", 99), "/x", "Host: [::1]:99"),
        ("http://a/b#part", ("http", "a", 80), "/b", "Host: a"),
        ("http://a/a%20b?d=%41", ("http", "a", 80), "/a%20b?d=%41", "Host: a"),
        ("http://a/100%?d=%zz", ("http", "a", 80), "/100%25?d=%25zz", "Host: a"),
        ("http://a/b c/\u00e9?\u00e9", ("http", "a", 80), "/b%20c/%C3%A9?%C3%A9", "Host: a"),
        (
            "http://b\u00fccher.example/",
            ("http", "xn--bcher-kva.example", 80),
            "/",
            "Host: xn--bcher-kva.example",
        ),
        ("http://u:p%40@a/", ("http", "a", 80), "/", "Host: a\r\nAuthorization: Basic dTpwQA=="),
    ],
)
def test_what_a_url_says(text: str, origin: tuple[str, str, int], path: str, lines: str) -> None:
    url = parse_url(text)
    assert url.origin == Origin(*origin)
    assert (url.path, url.lines) == (path.encode(), f"{lines}\r\n".encode())


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "want a URL"),
        ("a:80/x", "want a URL"),
        ("ftp://a/", "want a URL"),
        ("http://", "has no host"),
        ("http:///x", "has no host"),
        ("http://a:99999/", "out of range"),
        ("http://a:x/", "invalid literal|could not be cast"),
        ("http://a b/", "no name of a host"),
        ("http://a/\r\nX: y", "control character"),
        ("http://[::1/", "Invalid IPv6"),
    ],
)
def test_what_is_no_url_is_refused(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse_url(text)


@pytest.mark.parametrize(
    ("location", "path"),
    [("/z", "/z"), ("z?q=1", "/x/z?q=1"), ("//b/z", "/z"), ("http://b:1/", "/"), ("?q", "/x/y?q")],
)
def test_a_redirect_may_be_relative(location: str, path: str) -> None:
    assert redirected(parse_url("http://a/x/y"), location).path == path.encode()


@given(st.text())
def test_any_text_is_a_url_or_refused_with_a_reason(text: str) -> None:
    for given_text in (text, f"http://{text}", f"http://a/{text}"):
        try:
            url = parse_url(given_text)
        except ValueError:
            continue
        assert all(0x21 <= byte < 0x7F for byte in url.path)
        assert url.path.startswith(b"/")
        assert url.lines.count(b"\r\n") == url.lines.count(b": ")
        assert url.origin.host


@given(st.text())
def test_what_is_quoted_once_is_not_quoted_again(text: str) -> None:
    once = quoted(text)
    assert quoted(once) == once
