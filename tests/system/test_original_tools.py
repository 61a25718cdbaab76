"""The original's tools against our nsqd: messages go through all of them and come out as they went in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.support.auth_server import AuthServer
from tests.support.history import post
from tests.support.needs import original
from tests.support.processes import DaemonProcess
from tests.system.certificates import Certificates
from tests.system.clients import LAYERS
from tests.system.cluster import Kind, channel_names, nsqd, nsqlookupd, run_tool, tool, topic_stats
from tests.system.waiting import until

LINES = [b"line %d of the real thing" % n for n in range(200)]


@pytest.fixture(autouse=True)
def _tools() -> None:
    for name in ("to_nsq", "nsq_to_nsq", "nsq_to_file", "nsq_to_http", "nsq_tail", "nsq_stat"):
        original(name)


def written(folder: Path) -> Counter[bytes]:
    """The lines of all files in a folder."""
    return Counter(line for file in folder.iterdir() for line in file.read_bytes().splitlines())


def finished(daemon: DaemonProcess, topic: str, channel: str, count: int) -> bool:
    """So many messages went through a channel, and nothing is left."""
    (found,) = [c for c in topic_stats(daemon, topic)["channels"] if c["channel_name"] == channel]
    left = found["depth"] + found["in_flight_count"] + found["deferred_count"]
    return bool(found["message_count"] == count and left == 0)


def options(kind: str, settings: Iterable[str]) -> list[str]:
    """Client settings as flags; ``kind`` is consumer or producer."""
    return [f"--{kind}-opt={setting}" for setting in settings]


@pytest.mark.parametrize("first", Kind, ids=lambda first: f"from {first.value}")
@pytest.mark.parametrize("layers", [(), *LAYERS], ids=lambda layers: " and ".join(layers) or "plain")
def test_lines_travel_from_node_to_node_and_into_a_file(
    first: Kind, layers: tuple[str, ...], certificates: Certificates, tmp_path: Path
) -> None:
    settings = certificates.settings(layers)
    files = tmp_path / "files"
    files.mkdir()
    with (
        nsqd(first, tmp_path / "a", [], *certificates.flags) as source,
        nsqd(first.other, tmp_path / "b", [], *certificates.flags) as target,
        tool(
            "nsq_to_file",
            f"--nsqd-tcp-address={target.tcp}",
            "--topic=copy",
            "--channel=archive",
            f"--output-dir={files}",
            "--sync-interval=100ms",
            *options("consumer", settings),
        ),
        tool(
            "nsq_to_nsq",
            f"--nsqd-tcp-address={source.tcp}",
            f"--destination-nsqd-tcp-address={target.tcp}",
            "--topic=lines",
            "--destination-topic=copy",
            "--channel=copier",
            *options("consumer", settings),
            *options("producer", settings),
        ),
    ):
        until(lambda: channel_names(target, "copy") == {"archive"})
        until(lambda: channel_names(source, "lines") == {"copier"})
        to = (f"--nsqd-tcp-address={source.tcp}", "--topic=lines", *options("producer", settings))
        run_tool("to_nsq", *to, lines=LINES)
        until(lambda: written(files) == Counter(LINES))
        until(lambda: finished(target, "copy", "archive", len(LINES)))
        until(lambda: finished(source, "lines", "copier", len(LINES)))


def test_nsq_tail_and_nsq_to_http_take_from_ours_what_curl_and_they_put_there(tmp_path: Path) -> None:
    with (
        nsqd(Kind.OURS, tmp_path / "a") as node,
        tool(
            "nsq_to_http",
            f"--nsqd-tcp-address={node.tcp}",
            "--topic=lines",
            "--channel=poster",
            f"--post=http://{node.http}/pub?topic=posted",
        ),
    ):
        until(lambda: channel_names(node, "lines") == {"poster"})
        assert post(node, "/mpub?topic=lines", b"\n".join(LINES))[0] == 200
        until(lambda: finished(node, "lines", "poster", len(LINES)))
        ask = (f"--nsqd-tcp-address={node.tcp}", "--topic=posted", "--channel=tail", f"-n={len(LINES)}")
        assert Counter(run_tool("nsq_tail", *ask)) == Counter(LINES)


@pytest.mark.parametrize("kind", Kind, ids=lambda kind: f"nsqlookupd: {kind.value}")
def test_nsq_stat_counts_both_nodes(kind: Kind, tmp_path: Path) -> None:
    with (
        nsqlookupd(kind) as lookupd,
        nsqd(Kind.OURS, tmp_path / "a", [lookupd]) as ours,
        nsqd(Kind.ORIGINAL, tmp_path / "b", [lookupd]) as theirs,
    ):
        for node in (ours, theirs):
            assert post(node, "/topic/create?topic=t")[0] == 200
            assert post(node, "/channel/create?topic=t&channel=c")[0] == 200
            assert post(node, "/mpub?topic=t", b"1\n2\n3")[0] == 200
        which = ("--topic=t", "--channel=c", "--interval=200ms", "--count=1")
        direct = [f"--nsqd-http-address={node.http}" for node in (ours, theirs)]
        by_lookupd = [f"--lookupd-http-address={lookupd.http}"]

        def told(*flags: str) -> list[bytes]:
            return run_tool("nsq_stat", *which, *flags)[-1].split()

        expected = told(direct[1])
        assert told(direct[0]) == expected
        until(lambda: told(*by_lookupd) == told(*direct))
        assert b"6" in told(*direct)
        assert b"3" in expected


@pytest.mark.parametrize("kind", Kind, ids=lambda kind: kind.value)
def test_the_tools_show_their_secret_and_their_certificate(
    kind: Kind, auth_server: AuthServer, certificates: Certificates, tmp_path: Path
) -> None:
    policy = ("--tls-client-auth-policy=require-verify", certificates.ca_flag)
    required = (*policy, "--tls-required=tcp-https", auth_server.flag)
    settings = [*certificates.settings(("TLS",), own=True), "auth_secret,open"]
    with nsqd(kind, tmp_path / "a", [], *certificates.flags, *required) as node:
        at = (f"--nsqd-tcp-address={node.tcp}", "--topic=target")
        run_tool("to_nsq", *at, *options("producer", settings), lines=LINES)
        ask = ("--channel=work", f"-n={len(LINES)}", *options("consumer", settings))
        assert Counter(run_tool("nsq_tail", *at, *ask)) == Counter(LINES)
