"""Compressed connections of the original's tools, to our nsqd and to the original's."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.support.history import post
from tests.support.needs import original
from tests.support.processes import DaemonProcess
from tests.system.cluster import Kind, nsqd, run_tool, tool, topic_stats
from tests.system.waiting import until

LINES = [b"line %d: %d" % (n, random.Random(n).getrandbits(500)) for n in range(2000)]
WAYS = {
    "snappy": ["snappy,true"],
    "deflate": ["deflate,true"],
    "deflate, best": ["deflate,true", "deflate_level,9"],
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", Kind, ids=lambda kind: kind.value)
def test_the_originals_tools_compress_what_they_send_and_read(kind: Kind, way: str, tmp_path: Path) -> None:
    original("to_nsq")
    with nsqd(kind, tmp_path / "node", [], "--max-deflate-level=9") as node:
        at = (f"--nsqd-tcp-address={node.tcp}", "--topic=lines")
        producer = [f"--producer-opt={option}" for option in WAYS[way]]
        consumer = [f"--consumer-opt={option}" for option in WAYS[way]]
        assert post(node, "/topic/create?topic=lines")[0] == 200
        for channel in ("file", "tail"):
            assert post(node, f"/channel/create?topic=lines&channel={channel}")[0] == 200
        run_tool("to_nsq", *at, *producer, lines=LINES)
        asked = ("--channel=tail", f"-n={len(LINES)}", "--max-in-flight=300")
        files = tmp_path / "files"
        files.mkdir()
        with tool("nsq_to_file", *at, "--channel=file", f"--output-dir={files}", *consumer):
            assert Counter(run_tool("nsq_tail", *at, *asked, *consumer)) == Counter(LINES)
            until(lambda: told(node, "file") == WAYS[way][0].partition(",")[0])


def told(node: DaemonProcess, name: str) -> str:
    """What ``/stats`` says of a channel's one consumer; empty while there is none."""
    found: list[dict[str, Any]] = topic_stats(node, "lines").get("channels") or []
    for channel in found:
        if channel["channel_name"] == name and channel["clients"]:
            (client,) = channel["clients"]
            return " ".join(way for way in ("snappy", "deflate") if client[way])
    return ""
