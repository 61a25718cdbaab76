"""Our tools with daemons of either kind: what the original's tools do with ours, ours do with the original's."""

from __future__ import annotations

import gzip
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.auth_server import AuthServer
from tests.support.history import post
from tests.support.needs import original
from tests.support.processes import DaemonProcess
from tests.system.certificates import Certificates
from tests.system.clients import LAYERS
from tests.system.cluster import Kind, nsqd, nsqlookupd, run_tool, tool, topic_stats
from tests.system.waiting import until

LINES = [b"line %d of the real thing" % n for n in range(200)]
KINDS = pytest.mark.parametrize("kind", Kind, ids=lambda kind: f"daemons: {kind.value}")


def written(folder: Path) -> Counter[bytes]:
    """The lines of all files in a folder, of those too that are compressed."""
    found = Counter[bytes]()
    for file in folder.rglob("*.log*"):
        data = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
        found.update(data.splitlines())
    return found


def finished(daemon: DaemonProcess, topic: str, channel: str, count: int) -> bool:
    """So many messages went through a channel, and nothing is left."""
    found = [c for c in topic_stats(daemon, topic).get("channels", ()) if c["channel_name"] == channel]
    left = sum(c["depth"] + c["in_flight_count"] + c["deferred_count"] for c in found)
    return bool(sum(c["message_count"] for c in found) == count and left == 0)


@pytest.fixture
def node(kind: Kind, tmp_path: Path) -> Iterator[DaemonProcess]:
    """A nsqd that no nsqlookupd knows."""
    with nsqd(kind, tmp_path / "node") as daemon:
        yield daemon


@KINDS
def test_to_nsq_publishes_and_nsq_tail_prints_every_line(node: DaemonProcess) -> None:
    at = (f"--nsqd-tcp-address={node.tcp}", "--topic=t")
    assert run_tool("to_nsq", *at, lines=LINES, kind=Kind.OURS) == []
    assert topic_stats(node, "t")["message_count"] == len(LINES)
    printed = run_tool("nsq_tail", *at, "--channel=tail", f"-n={len(LINES)}", kind=Kind.OURS)
    assert Counter(printed) == Counter(LINES)
    until(lambda: finished(node, "t", "tail", len(LINES)))


@KINDS
@pytest.mark.parametrize("flags", [(), ("--gzip",)], ids=["plain", "gzip"])
def test_lines_travel_from_node_to_node_and_into_a_file(
    kind: Kind, node: DaemonProcess, flags: tuple[str, ...], tmp_path: Path
) -> None:
    files = tmp_path / "files"
    files.mkdir()
    with (
        nsqlookupd(kind) as lookupd,
        nsqd(kind, tmp_path / "target", [lookupd]) as target,
        tool(
            "nsq_to_nsq",
            f"--nsqd-tcp-address={node.tcp}",
            f"--destination-nsqd-tcp-address={target.tcp}",
            "--topic=lines",
            "--destination-topic=copy",
            "--channel=copier",
            kind=Kind.OURS,
        ),
    ):
        assert post(target, "/topic/create?topic=copy")[0] == 200
        run_tool("to_nsq", f"--nsqd-tcp-address={node.tcp}", "--topic=lines", lines=LINES, kind=Kind.OURS)
        until(lambda: finished(node, "lines", "copier", len(LINES)))
        with tool(
            "nsq_to_file",
            f"--lookupd-http-address={lookupd.http}",
            "--topic-pattern=^co.y$",
            "--channel=archive",
            f"--output-dir={files}",
            "--sync-interval=100ms",
            *flags,
            kind=Kind.OURS,
        ):
            until(lambda: finished(target, "copy", "archive", len(LINES)))
        assert written(files) == Counter(LINES)
        assert [file.suffix == ".gz" for file in files.iterdir()] == [bool(flags)]


@KINDS
def test_nsq_to_http_posts_every_message(kind: Kind, node: DaemonProcess, tmp_path: Path) -> None:
    with (
        nsqd(kind, tmp_path / "target") as target,
        tool(
            "nsq_to_http",
            f"--nsqd-tcp-address={node.tcp}",
            "--topic=lines",
            "--channel=poster",
            f"--post=http://{target.http}/pub?topic=posted",
            kind=Kind.OURS,
        ),
    ):
        assert post(node, "/mpub?topic=lines", b"\n".join(LINES))[0] == 200
        until(lambda: finished(node, "lines", "poster", len(LINES)))
        assert topic_stats(target, "posted")["message_count"] == len(LINES)
        ask = (f"--nsqd-tcp-address={target.tcp}", "--topic=posted", "--channel=tail", f"-n={len(LINES)}")
        assert Counter(run_tool("nsq_tail", *ask, kind=Kind.OURS)) == Counter(LINES)


@KINDS
def test_nsq_tail_finds_the_nsqds_by_nsqlookupd(kind: Kind, tmp_path: Path) -> None:
    with (
        nsqlookupd(kind) as lookupd,
        nsqd(kind, tmp_path / "a", [lookupd]) as a,
        nsqd(kind, tmp_path / "b", [lookupd]) as b,
    ):
        for daemon, lines in ((a, LINES[:100]), (b, LINES[100:])):
            assert post(daemon, "/mpub?topic=t", b"\n".join(lines))[0] == 200
            assert post(daemon, "/channel/create?topic=t&channel=c")[0] == 200
        ask = (f"--lookupd-http-address={lookupd.http}", "--topic=t", "--channel=c", f"-n={len(LINES)}")
        until(lambda: topic_stats(a, "t") and topic_stats(b, "t"))
        assert Counter(run_tool("nsq_tail", *ask, kind=Kind.OURS)) == Counter(LINES)


def options(kind: str, settings: Iterable[str]) -> list[str]:
    """Client settings as flags; ``kind`` is consumer or producer."""
    return [f"--{kind}-opt={setting}" for setting in settings]


@KINDS
@pytest.mark.parametrize("layers", LAYERS, ids=" and ".join)
def test_all_of_them_take_what_lies_between_them_and_nsqd(
    kind: Kind, layers: tuple[str, ...], certificates: Certificates, tmp_path: Path
) -> None:
    settings = certificates.settings(layers)
    consumer, producer = options("consumer", settings), options("producer", settings)
    files = tmp_path / "files"
    files.mkdir()
    with (
        nsqd(kind, tmp_path / "a", [], *certificates.flags) as node,
        tool(
            "nsq_to_nsq",
            *(f"--nsqd-tcp-address={node.tcp}", f"--destination-nsqd-tcp-address={node.tcp}"),
            *("--topic=lines", "--destination-topic=copy", "--channel=c", *consumer, *producer),
            kind=Kind.OURS,
        ),
        tool(
            "nsq_to_http",
            *(f"--nsqd-tcp-address={node.tcp}", "--topic=copy", "--channel=poster", *consumer),
            f"--post=http://{node.http}/pub?topic=posted",
            kind=Kind.OURS,
        ),
        tool(
            "nsq_to_file",
            *(f"--nsqd-tcp-address={node.tcp}", "--topic=posted", "--channel=archive", *consumer),
            *(f"--output-dir={files}", "--sync-interval=100ms"),
            kind=Kind.OURS,
        ),
    ):
        at = (f"--nsqd-tcp-address={node.tcp}", "--topic=lines", *producer)
        run_tool("to_nsq", *at, lines=LINES, kind=Kind.OURS)
        until(lambda: finished(node, "posted", "archive", len(LINES)))
        assert written(files) == Counter(LINES)
        ask = (f"--nsqd-tcp-address={node.tcp}", "--topic=last", "--channel=c", *consumer)
        assert post(node, "/mpub?topic=last", b"\n".join(LINES))[0] == 200
        assert Counter(run_tool("nsq_tail", *ask, f"-n={len(LINES)}", kind=Kind.OURS)) == Counter(LINES)


@KINDS
def test_they_show_their_secret_and_their_certificate(
    kind: Kind, auth_server: AuthServer, certificates: Certificates, tmp_path: Path
) -> None:
    policy = ("--tls-client-auth-policy=require-verify", certificates.ca_flag)
    required = (*policy, "--tls-required=tcp-https", auth_server.flag)
    settings = [*certificates.settings(("TLS",), own=True), "auth_secret,open"]
    with nsqd(kind, tmp_path / "a", [], *certificates.flags, *required) as node:
        at = (f"--nsqd-tcp-address={node.tcp}", "--topic=target")
        run_tool("to_nsq", *at, *options("producer", settings), lines=LINES, kind=Kind.OURS)
        ask = ("--channel=work", f"-n={len(LINES)}", *options("consumer", settings))
        assert Counter(run_tool("nsq_tail", *at, *ask, kind=Kind.OURS)) == Counter(LINES)


@contextmanager
def two_nodes(kind: Kind, folder: Path) -> Iterator[list[tuple[str, ...]]]:
    """Two nsqds that share 200 messages and two deferred ones; hands over the flags that lead to them."""
    with (
        nsqlookupd(kind) as lookupd,
        nsqd(kind, folder / "a", [lookupd]) as a,
        nsqd(kind, folder / "b", [lookupd]) as b,
    ):
        for daemon, lines in ((a, LINES[:150]), (b, LINES[150:])):
            assert post(daemon, "/topic/create?topic=t")[0] == 200
            assert post(daemon, "/channel/create?topic=t&channel=c")[0] == 200
            assert post(daemon, "/mpub?topic=t", b"\n".join(lines))[0] == 200
            assert post(daemon, "/pub?topic=t&defer=60000", b"later")[0] == 200
        yield [
            (f"--lookupd-http-address={lookupd.http}",),
            (f"--nsqd-http-address={a.http}", f"--nsqd-http-address={b.http}"),
        ]


STAT = ("--topic=t", "--channel=c", "--interval=20ms")


@KINDS
def test_nsq_stat_counts_both_nodes(kind: Kind, tmp_path: Path) -> None:
    with two_nodes(kind, tmp_path) as sources:
        for source in sources:
            row = run_tool("nsq_stat", *STAT, "--count=1", *source, kind=Kind.OURS)[-1]
            assert [part.split() for part in row.split(b"|")] == [
                [b"0", b"0"],
                [b"200", b"200", b"0", b"0", b"2"],
                [b"0", b"0", b"202", b"0"],
            ]


@KINDS
def test_nsq_stat_prints_what_the_original_prints(kind: Kind, tmp_path: Path) -> None:
    original("nsq_stat")
    with two_nodes(kind, tmp_path) as sources:
        for source in sources:
            ask = (*STAT, "--count=26", *source)
            ours = run_tool("nsq_stat", *ask, kind=Kind.OURS)
            assert len(ours) == 2 + 24 + 2 + 2
            assert ours == run_tool("nsq_stat", *ask)
