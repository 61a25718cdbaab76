from __future__ import annotations

import signal
import urllib.request

import pytest

from tests.support.processes import ROOT, DaemonProcess, run_to_end, spawn

TINY = "tests.nsqcore.tiny_daemon"
HTTP = ("HTTP",)


def test_a_daemon_is_ready_when_it_is_handed_over() -> None:
    with spawn(TINY, listeners=HTTP) as daemon:
        assert daemon.tcp == ""
        with urllib.request.urlopen(f"http://{daemon.http}/ping", timeout=10) as answer:
            assert answer.status == 200
    assert daemon.status == 0
    assert daemon.log.endswith("bye\n"), "it was stopped in order, and its log is complete"


def test_a_daemon_that_ends_instead_of_serving_is_an_error_with_its_log() -> None:
    with pytest.raises(AssertionError, match="ended without logging") as failed, spawn(TINY, "--mode=refuse"):
        pass
    assert any("FATAL: failed to instantiate tiny" in note for note in failed.value.__notes__)


def test_a_daemon_that_ends_with_another_status_fails_the_test() -> None:
    with pytest.raises(AssertionError, match="exit status 1"), spawn(TINY, "--mode=fail", listeners=HTTP):
        pass


def test_what_a_test_raises_ends_the_daemon_and_gets_its_log() -> None:
    with pytest.raises(ZeroDivisionError) as failed, spawn(TINY, listeners=HTTP) as daemon:
        raise ZeroDivisionError
    assert daemon.status == -signal.SIGKILL
    assert "listening on" in "".join(failed.value.__notes__)


def test_a_daemon_that_a_test_has_ended_is_left_alone() -> None:
    with spawn(TINY, listeners=HTTP) as daemon:
        assert daemon.stop() == 0
        assert daemon.stop() == 0
    with spawn(TINY, listeners=HTTP) as daemon:
        daemon.kill()
    assert daemon.status == -signal.SIGKILL


def test_a_line_that_does_not_come_is_not_awaited_for_ever() -> None:
    with spawn(TINY, listeners=HTTP) as daemon:
        daemon.wait_for_log("listening on")
        with pytest.raises(AssertionError, match="without logging 'nonsense'"):
            daemon.wait_for_log("nonsense", timeout=0.05)
        with pytest.raises(AssertionError, match="without logging 'listening on'"):
            daemon.wait_for_log("listening on", timeout=0.05, times=2)


def test_a_daemon_that_does_not_end_is_killed_and_said_to() -> None:
    daemon = DaemonProcess(TINY, ["--stop-time=60s"], None, ROOT)
    daemon.wait_for_log("listening on")
    with pytest.raises(AssertionError, match=r"went on for 0\.1 s"):
        daemon.stop(timeout=0.1)
    assert daemon.status == -signal.SIGKILL


def test_a_program_that_ends_by_itself_shows_all_it_wrote() -> None:
    ended = run_to_end(TINY, "--help")
    assert (ended.returncode, ended.stdout) == (0, "")
    assert ended.stderr.startswith("Usage of tiny:\n")
