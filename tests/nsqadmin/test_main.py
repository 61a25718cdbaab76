"""nsqadmin as a process."""

from __future__ import annotations

import signal
import socket
import time
import urllib.request

import pytest

from tests.support.processes import run_to_end, spawn

START_LIMIT_S = 1.0
UNUSED = "--lookupd-http-address=127.0.0.1:1"


def test_it_serves_within_a_second_and_ends_cleanly() -> None:
    """The best of three starts, for the machine may be busy; nsqlookupd need not be there."""
    best = START_LIMIT_S * 10
    for _ in range(3):
        started = time.monotonic()
        with spawn("nsqadmin", "--http-address=127.0.0.1:0", UNUSED) as admin:
            with urllib.request.urlopen(f"http://{admin.http}/ping") as answer:
                assert answer.read() == b"OK"
            best = min(best, time.monotonic() - started)
            admin.signal(signal.SIGINT)
            assert admin.wait() == 0
        if best < START_LIMIT_S:
            return
    pytest.fail(f"the fastest start took {best:.2f} s")


def test_it_says_where_it_listens() -> None:
    with spawn("nsqadmin", "--http-address=127.0.0.1:0", "--log-prefix=[x] ", UNUSED) as admin:
        assert admin.http.startswith("127.0.0.1:")
        assert not admin.http.endswith(":0")
        assert f"INFO: HTTP: listening on {admin.http}\n" in admin.log
        assert "[x] " in admin.log


@pytest.mark.parametrize(
    ("flags", "status", "text"),
    [
        (
            [],
            1,
            "FATAL: failed to instantiate nsqadmin - --nsqd-http-address or --lookupd-http-address required",
        ),
        (
            [UNUSED, "--nsqd-http-address=127.0.0.1:1"],
            1,
            "FATAL: failed to instantiate nsqadmin - use --nsqd-http-address or --lookupd-http-address not both",
        ),
        (
            ["--lookupd-http-address=http://x"],
            1,
            "FATAL: failed to instantiate nsqadmin - failed to resolve --lookupd-http-address (http://x) - ",
        ),
        (["--bogus"], 2, "flag provided but not defined: -bogus"),
    ],
)
def test_what_can_not_work_ends_with_the_originals_words(flags: list[str], status: int, text: str) -> None:
    ended = run_to_end("nsqadmin", *flags)
    assert (ended.returncode, ended.stdout) == (status, "")
    assert text in ended.stderr


def test_a_port_in_use_ends_with_the_originals_words() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        ended = run_to_end("nsqadmin", UNUSED, f"--http-address={address}")
    assert ended.returncode == 1
    assert f"FATAL: failed to instantiate nsqadmin - listen ({address}) failed - " in ended.stderr


def test_the_version_is_the_nsq_release_it_stands_for() -> None:
    ended = run_to_end("nsqadmin", "--version")
    assert ended.returncode == 0
    assert ended.stdout.startswith("nsqadmin v1.3.0 (built w/")
