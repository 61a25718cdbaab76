"""The HTTP APIs through a library that we did not write: gnsq over urllib3, one connection for many requests."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.support.fetch import fetch_json
from tests.support.history import nsqd
from tests.support.needs import lacking
from tests.support.processes import ROOT, DaemonProcess, spawn
from tests.system.clients import CLIENTS
from tests.system.waiting import DEADLINE_S, until


@pytest.fixture(autouse=True)
def _gnsq() -> None:
    if reason := CLIENTS["gnsq"].missing():
        lacking(reason)


def call(kind: str, daemon: DaemonProcess, *calls: Sequence[object]) -> list[Any]:
    """What came of each of these calls."""
    program = [sys.executable, "-m", "tests.system.programs.gnsq_http_program", kind, daemon.http]
    ended = subprocess.run(
        [*program, json.dumps(calls)], capture_output=True, timeout=DEADLINE_S, cwd=ROOT, check=False
    )
    assert ended.returncode == 0, ended.stderr
    outcomes = json.loads(ended.stdout)
    assert isinstance(outcomes, list)
    return outcomes


def test_every_call_to_nsqd(daemon: DaemonProcess, topic: str) -> None:
    *done, stats, text, info, ping = call(
        "nsqd",
        daemon,
        ("create_topic", topic),
        ("create_channel", topic, "work"),
        ("publish", topic, "grüß \x00"),
        ("publish", topic, "later", 60_000),
        ("multipublish", topic, ["a", "b"]),
        ("multipublish", topic, ["a\n", "b" * 100_000], True),
        ("pause_topic", topic),
        ("unpause_topic", topic),
        ("pause_channel", topic, "work"),
        ("stats", topic, "work"),
        ("stats", topic, None, True),
        ("info",),
        ("ping",),
    )
    assert done == ["", "", "OK", "OK", "OK", "OK", "", "", ""]
    (channel,) = stats["topics"][0]["channels"]
    assert (channel["depth"], channel["deferred_count"], channel["paused"]) == (5, 1, True)
    assert f"[{topic}" in text
    assert (info["version"], ping) == ("1.3.0", "OK")
    assert call(
        "nsqd",
        daemon,
        ("unpause_channel", topic, "work"),
        ("empty_channel", topic, "work"),
        ("empty_topic", topic),
        ("delete_channel", topic, "work"),
        ("delete_topic", topic),
        ("delete_topic", topic),
    ) == ["", "", "", "", "", {"error": "http error <404>"}]


def test_every_call_to_nsqlookupd(tmp_path: Path, topic: str) -> None:
    with (
        spawn("nsqlookupd", "--tcp-address=127.0.0.1:0", "--http-address=127.0.0.1:0") as lookupd,
        nsqd(tmp_path, f"--lookupd-tcp-address={lookupd.tcp}") as node,
    ):
        assert call("nsqd", node, ("create_topic", topic), ("create_channel", topic, "work")) == ["", ""]
        until(lambda: fetch_json(lookupd.http, f"/channels?topic={topic}")["channels"] == ["work"])
        found, topics, channels, nodes, *done = call(
            "nsqlookupd",
            lookupd,
            ("lookup", topic),
            ("topics",),
            ("channels", topic),
            ("nodes",),
            ("create_topic", "made"),
            ("create_channel", "made", "work"),
            ("tombstone_topic", topic, node.http),
            ("lookup", topic),
            ("delete_channel", "made", "work"),
            ("delete_topic", "made"),
            ("lookup", "made"),
            ("ping",),
        )
        assert [f"127.0.0.1:{producer['tcp_port']}" for producer in found["producers"]] == [node.tcp]
        assert (topics, channels) == ({"topics": [topic]}, {"channels": ["work"]})
        assert [f"127.0.0.1:{told['http_port']}" for told in nodes["producers"]] == [node.http]
        assert done[:3] == ["", "", ""]
        assert (done[3]["producers"], done[3]["channels"]) == ([], ["work"])
        assert done[4:] == ["", "", {"error": "http error <404>"}, "OK"]
