"""``check`` tells of every node, and its status tells whether all are well."""

from __future__ import annotations

from tests.nsqclient.cli.commands import run
from tests.support.processes import DaemonProcess


def test_what_was_agreed_is_told(nsqd: DaemonProcess) -> None:
    checked = run("check", "--nsqd", nsqd.tcp)
    assert (checked.returncode, checked.stderr) == (0, b"")
    assert checked.stdout.decode().startswith(f"{nsqd.tcp} ok version=1.3.0 tls=no compression=none auth=no")


def test_what_is_asked_for_is_agreed(nsqd: DaemonProcess) -> None:
    checked = run("check", "--url", f"nsqd://{nsqd.tcp}?compress=snappy&msg_timeout=30")
    assert b"compression=snappy" in checked.stdout
    assert b"msg_timeout=30s" in checked.stdout


def test_one_bad_node_is_a_failure(nsqd: DaemonProcess) -> None:
    checked = run("check", "--nsqd", nsqd.tcp, "--nsqd", "127.0.0.1:1")
    assert checked.returncode == 1
    told = checked.stdout.decode()
    assert f"{nsqd.tcp} ok " in told
    assert "127.0.0.1:1 failed Connection refused" in told


def test_tls_that_is_not_there_is_a_failure(nsqd: DaemonProcess) -> None:
    checked = run("check", "--url", f"nsqd://{nsqd.tcp}?tls=require", "--timeout", "2")
    assert checked.returncode == 1
    assert b"failed" in checked.stdout
