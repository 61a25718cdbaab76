from __future__ import annotations

import pytest

from nsqadmin.options import COMMAND_LINE, Options, clean_base_path
from nsqcore.durations import Duration


@pytest.mark.parametrize(
    ("given", "clean"),
    [("/", "/"), ("", "/"), ("nsq", "/nsq"), ("/nsq/", "/nsq"), ("//a//b/../c/", "/a/c"), ("/..", "/")],
)
def test_base_paths_are_cleaned(given: str, clean: str) -> None:
    assert clean_base_path(given) == clean


def test_flags_are_the_originals() -> None:
    given = COMMAND_LINE.parse(
        [
            "--lookupd-http-address=a:1",
            "-lookupd-http-address",
            "b:2",
            "--admin-user=ann",
            "--base-path=x",
            "--http-client-connect-timeout=250ms",
        ]
    )
    assert given.options == {
        "lookupd_http_addresses": ["a:1", "b:2"],
        "admin_users": ["ann"],
        "base_path": "/x",
        "http_client_connect_timeout": Duration.of_ms(250),
    }


def test_defaults_are_the_originals() -> None:
    options = Options()
    assert (options.http_address, options.base_path) == ("0.0.0.0:4171", "/")
    assert (str(options.http_client_connect_timeout), str(options.http_client_request_timeout)) == (
        "2s",
        "5s",
    )
    assert options.acl_http_header == "X-Forwarded-User"


def test_an_auth_file_is_ours() -> None:
    assert COMMAND_LINE.parse(["--auth-file=/etc/nsqadmin.auth"]).options == {
        "auth_file": "/etc/nsqadmin.auth"
    }
    assert Options().auth_file == ""
