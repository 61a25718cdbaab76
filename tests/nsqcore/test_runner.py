from __future__ import annotations

import signal
import urllib.request

import pytest

from tests.support.processes import ROOT, DaemonProcess, run_to_end, spawn

TINY = "tests.nsqcore.tiny_daemon"
HTTP = ("HTTP",)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_the_daemon_in_order_and_the_status_is_0(number: signal.Signals) -> None:
    with spawn(TINY, listeners=HTTP) as daemon:
        with urllib.request.urlopen(f"http://{daemon.http}/ping", timeout=10) as answer:
            assert answer.read() == b"OK"
        daemon.signal(number)
        assert daemon.wait() == 0
        assert daemon.log.endswith("bye\n")


def test_further_signals_while_it_stops_change_nothing() -> None:
    with spawn(TINY, "--stop-time=300ms", listeners=HTTP) as daemon:
        daemon.signal(signal.SIGINT)
        daemon.wait_for_log("stopping")
        daemon.signal(signal.SIGINT)
        daemon.signal(signal.SIGTERM)
        assert daemon.wait() == 0
        assert daemon.log.count("stopping") == 1
        assert daemon.log.endswith("bye\n")


def test_a_stream_of_signals_up_to_the_very_end_leaves_status_0() -> None:
    with spawn(TINY, listeners=HTTP) as daemon:
        while daemon.poll() is None:
            daemon.signal(signal.SIGTERM)
            daemon.signal(signal.SIGINT)
        assert daemon.wait() == 0


def test_a_signal_while_it_starts_is_obeyed_when_it_has_started() -> None:
    daemon = DaemonProcess(TINY, ["--start-time=300ms"], None, ROOT)
    daemon.wait_for_log("starting")
    daemon.signal(signal.SIGTERM)
    assert daemon.wait() == 0
    assert "listening on" in daemon.log
    assert daemon.log.endswith("bye\n")


def test_signals_that_would_kill_a_careless_process_are_ignored() -> None:
    with spawn(TINY, listeners=HTTP) as daemon:
        for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
            daemon.signal(number)
        with urllib.request.urlopen(f"http://{daemon.http}/ping", timeout=10) as answer:
            assert answer.read() == b"OK"


def test_sighup_makes_a_daemon_reload_that_can_each_time() -> None:
    with spawn(TINY, "--mode=reload", listeners=HTTP) as daemon:
        for times in (1, 2):
            daemon.signal(signal.SIGHUP)
            daemon.wait_for_log("reloading", times=times)
        with urllib.request.urlopen(f"http://{daemon.http}/ping", timeout=10) as answer:
            assert answer.read() == b"OK"


def test_sigquit_dumps_every_stack_and_ends_in_order_with_status_2() -> None:
    with spawn(TINY, "--stop-time=300ms", listeners=HTTP) as daemon:
        daemon.signal(signal.SIGQUIT)
        daemon.wait_for_log("stopping")
        for number in (signal.SIGQUIT, signal.SIGTERM, signal.SIGINT):
            daemon.signal(number)
        assert daemon.wait() == 2
        assert daemon.log.endswith("bye\n")
        assert "most recent call first" in daemon.log, "the stacks of the threads"
        assert "Stack for <Task pending name='Task-1' coro=<_serve() " in daemon.log


def test_sigquit_tells_where_a_loop_hangs() -> None:
    daemon = DaemonProcess(TINY, ["--mode=hang"], None, ROOT)
    daemon.wait_for_log("hanging")
    daemon.signal(signal.SIGQUIT)
    daemon.wait_for_log("in hang_for_ever")
    daemon.kill()


def test_a_start_that_fails_is_a_fatal_line_and_status_1() -> None:
    ended = run_to_end(TINY, "--mode=refuse", "--log-prefix=other")
    assert ended.returncode == 1
    fatal = [line for line in ended.stderr.splitlines() if "FATAL" in line]
    assert len(fatal) == 1
    assert fatal[0].startswith("[tiny] ")
    assert fatal[0].endswith(" FATAL: failed to instantiate tiny - it doesn't want to")
    assert "stopping" in ended.stderr, "what the start had already opened must be closed"


def test_a_daemon_that_gives_up_is_stopped_and_the_status_is_1() -> None:
    ended = run_to_end(TINY, "--mode=fail")
    assert ended.returncode == 1
    assert ended.stderr.endswith("bye\n")


def test_a_start_may_say_what_it_failed_at() -> None:
    ended = run_to_end(TINY, "--mode=unreadable")
    assert ended.returncode == 1
    assert " FATAL: failed to read the book - it is all Greek\n" in ended.stderr
