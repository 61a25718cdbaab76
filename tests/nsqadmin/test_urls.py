from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsqadmin.urls import Service, origin_shown, read_service, shown


@pytest.mark.parametrize(
    ("text", "service", "origin"),
    [
        ("http://g", Service("http://g", None, ""), "http://g"),
        ("https://g:8080/", Service("https://g:8080", None, ""), "https://g:8080"),
        ("HTTP://u:p%40@[::1]:80/a/b/?x#y", Service("http://[::1]:80/a/b", "u", "p@"), "http://[::1]:80"),
        ("http://only@h", Service("http://h", "only", ""), "http://h"),
    ],
)
def test_a_service_is_where_it_is_and_who_asks_it(text: str, service: Service, origin: str) -> None:
    assert read_service(text) == service
    assert service.origin == origin


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("%zz", 'parse "%zz": invalid URL escape "%zz"'),
        ("http://h/%z", 'parse "http://h/%z": invalid URL escape "%z"'),
        (":x", 'parse ":x": missing protocol scheme'),
        ("1a:b", 'parse "1a:b": first path segment in URL cannot contain colon'),
        ("http://[::1", 'parse "http://[::1": missing \']\' in host'),
        ("http://a b/", 'parse "http://a b/": invalid character " " in host name'),
        ("http://h:x/", 'parse "http://h:x/": invalid port ":x" after host'),
        ("http://h:99999/", 'parse "http://h:99999/": invalid port ":99999": want a number up to 65535'),
        ("http://h/\x01", 'parse "http://h/\\x01": net/url: invalid control character in URL'),
        ("foo", "want a URL such as https://host:port/path"),
        ("ftp://h/", "want a URL such as https://host:port/path"),
        ("http://", "want a URL such as https://host:port/path"),
    ],
)  # fmt: skip
def test_what_is_no_url_is_refused_in_gos_words(text: str, why: str) -> None:
    with pytest.raises(ValueError) as refused:  # noqa: PT011 - the text is compared below
        read_service(text)
    assert str(refused.value) == why


@given(st.text(alphabet=st.sampled_from("htps:/[]@%1a.? \x01é_#")) | st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    for url in (text, f"http://{text}", f"http://u:p@{text}"):
        try:
            service = read_service(url)
        except ValueError:
            continue
        assert service.base.startswith(("http://", "https://"))
        assert "@" not in service.origin


@pytest.mark.parametrize(
    ("text", "without_secret", "origin"),
    [
        ("http://u:secret@h:1/a?b", "http://h:1/a?b", "http://h:1/..."),
        ("https://h", "https://h", "https://h"),
        ("https://h/", "https://h/", "https://h"),
        ("https://secret@h?x", "https://h?x", "https://h/..."),
        ("/graphite", "/graphite", "/graphite"),
        ("", "", ""),
    ],
)
def test_what_is_shown_holds_no_secret(text: str, without_secret: str, origin: str) -> None:
    assert shown(text) == without_secret
    assert origin_shown(text) == origin
