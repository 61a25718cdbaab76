"""nsqd as a process: its start, what stops it from starting, and its end, which loses nothing."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
import pytest_asyncio

from nsqcore.addresses import parse_host_port
from nsqcore.wire.commands import encode_pub
from nsqcore.wire.frames import ERROR, RESPONSE, encode_frame
from tests.support.fetch import fetch, fetch_json, post
from tests.support.nsqd import Node, RawClient
from tests.support.processes import DaemonProcess, run_to_end, spawn

STAMP = r"\d{4}/\d\d/\d\d \d\d:\d\d:\d\d\.\d{6}"
OK_FRAME = encode_frame(RESPONSE, b"OK")
FREE = ("--tcp-address=127.0.0.1:0", "--http-address=127.0.0.1:0")


def start(folder: Path, *flags: str) -> AbstractContextManager[DaemonProcess]:
    return spawn("nsqd", *FREE, f"--data-path={folder}", *flags)


def lines_of(log: str) -> list[str]:
    """A log without its times."""
    return re.sub(STAMP, "@", log).splitlines()


Connect = Callable[[DaemonProcess], Awaitable[RawClient]]


@pytest_asyncio.fixture
async def connect() -> AsyncIterator[Connect]:
    """Connects clients, which are closed in the end."""
    clients: list[RawClient] = []

    async def to(daemon: DaemonProcess) -> RawClient:
        host, port = parse_host_port(daemon.tcp)
        clients.append(await RawClient.open((host, port)))
        clients[-1].send(b"  V2")
        return clients[-1]

    yield to
    for client in clients:
        client.drop()
        await client.gone()


async def stopped(daemon: DaemonProcess) -> int:
    return await asyncio.to_thread(daemon.stop)


def depths(daemon: DaemonProcess) -> dict[str, int]:
    """Waiting messages of every topic and channel."""
    found = {}
    for topic in fetch_json(daemon.http, "/stats?format=json")["topics"]:
        found[topic["topic_name"]] = topic["depth"]
        for channel in topic["channels"]:
            found[f"{topic['topic_name']}:{channel['channel_name']}"] = channel["depth"]
    return found


# -- start -----------------------------------------------------------------------------------------


def test_it_says_what_it_is_and_where_it_listens(tmp_path: Path) -> None:
    with start(tmp_path, "--node-id=7") as daemon:
        lines = lines_of(daemon.log)
        assert re.fullmatch(r"\[nsqd\] @ INFO: nsqd v1\.3\.0 \(built w/[a-z0-9.-]+\)", lines[0])
        assert lines[1] == "[nsqd] @ INFO: ID: 7"
        assert f"[nsqd] @ INFO: TCP: listening on {daemon.tcp}" in lines
        assert f"[nsqd] @ INFO: HTTP: listening on {daemon.http}" in lines
        assert fetch(daemon.http, "/ping") == (200, b"OK")
        assert sorted(path.name for path in tmp_path.iterdir()) == ["nsqd.dat"]


@pytest.mark.skipif(sys.platform != "linux", reason="the time is read from /proc")
def test_it_takes_less_than_a_second_of_work_until_it_serves(tmp_path: Path) -> None:
    with start(tmp_path) as daemon:
        fields = Path(f"/proc/{daemon.pid}/stat").read_text().rpartition(")")[2].split()
        ticks = int(fields[11]) + int(fields[12])  # user and system time, which other load does not stretch
        assert ticks / os.sysconf("SC_CLK_TCK") < 1.0


def test_without_an_http_address_there_is_no_http(tmp_path: Path) -> None:
    flags = ("--tcp-address=127.0.0.1:0", "--http-address=", f"--data-path={tmp_path}")
    with spawn("nsqd", *flags, listeners=["TCP"]) as daemon:
        assert daemon.http == ""
        with socket.create_connection(parse_host_port(daemon.tcp), 5) as client:
            client.sendall(b"  V2" + encode_pub("t", b"x"))
            assert client.recv(100) == OK_FRAME


def fatal_of(*flags: str, doing: str = "instantiate nsqd") -> str:
    """Starts it, which must fail with status 1; returns what its only FATAL line says."""
    ended = run_to_end("nsqd", *FREE, *flags)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "Traceback" not in ended.stderr
    [line] = [line for line in lines_of(ended.stderr) if " FATAL: " in line]
    head, _, reason = line.partition(" - ")
    assert head == f"[nsqd] @ FATAL: failed to {doing}"
    return reason


def test_a_data_folder_that_is_not_there_is_fatal(tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    assert (
        fatal_of(f"--data-path={missing}", "--log-prefix=other")
        == f"failed to lock data-path: open {missing}: no such file or directory"
    )
    assert not missing.exists()


def test_a_data_folder_of_another_nsqd_is_fatal(tmp_path: Path) -> None:
    with start(tmp_path) as daemon:
        assert fatal_of(f"--data-path={tmp_path}") == (
            f"failed to lock data-path: cannot flock directory {tmp_path} - resource temporarily unavailable "
            "(possibly in use by another instance of nsqd)"
        )
        assert fetch(daemon.http, "/ping") == (200, b"OK")
    with start(tmp_path):
        pass


@pytest.mark.parametrize("listener", ["tcp", "http"])
def test_a_taken_port_is_fatal_and_gives_the_folder_free(tmp_path: Path, listener: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        assert fatal_of(f"--data-path={tmp_path}", f"--{listener}-address={address}") == (
            f"listen ({address}) failed - listen tcp {address}: bind: address already in use"
        )
    with start(tmp_path):
        pass


def test_metadata_that_can_not_be_read_is_fatal_and_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "nsqd.dat").write_bytes(b'{"topics":[{"na')
    line = fatal_of(f"--data-path={tmp_path}", doing="load metadata")
    assert line.startswith(f"failed to parse metadata in {tmp_path / 'nsqd.dat'} - ")
    assert (tmp_path / "nsqd.dat").read_bytes() == b'{"topics":[{"na'


def test_a_bad_flag_is_told_in_the_first_line() -> None:
    ended = run_to_end("nsqd", "--mem-queue-size=abc")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.splitlines()[:2] == [
        'invalid value "abc" for flag -mem-queue-size: parse error',
        "Usage of nsqd:",
    ]


def test_the_version_is_told_on_stdout() -> None:
    ended = run_to_end("nsqd", "--version")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert re.fullmatch(r"nsqd v1\.3\.0 \(built w/[a-z0-9.-]+\)\n", ended.stdout)


# -- end -------------------------------------------------------------------------------------------


async def test_sigterm_stores_everything_and_the_next_life_serves_it(
    tmp_path: Path, connect: Connect
) -> None:
    with start(tmp_path, "--mem-queue-size=50") as daemon:
        client = await connect(daemon)
        await client.sub("t", "c")
        await client.mpub("t", *[b"%d" % n for n in range(100)])
        await client.dpub("t", 60_000, b"deferred")
        await client.mpub("no-channel", b"a", b"b")
        await client.dpub("no-channel", 60_000, b"c")
        client.rdy(10)
        held = await client.messages(10)
        client.rdy(5)
        client.fin(held[0].id)
        client.req(held[1].id, 1500)
        put_off = time.monotonic()
        client.touch(held[2].id)
        await client.settled()
        for target in ("/topic/pause?topic=no-channel", "/channel/create?topic=t&channel=paused"):
            assert (await asyncio.to_thread(post, daemon.http, target))[0] == 200
        assert (await asyncio.to_thread(post, daemon.http, "/channel/pause?topic=t&channel=paused"))[0] == 200
        assert await stopped(daemon) == 0
        await client.closed()
        assert lines_of(daemon.log)[-1] == "[nsqd] @ INFO: NSQ: bye"

    with start(tmp_path) as daemon:
        assert await asyncio.to_thread(depths, daemon) == {"no-channel": 3, "t": 0, "t:c": 98, "t:paused": 0}
        stats = await asyncio.to_thread(fetch_json, daemon.http, "/stats?format=json")
        paused = {
            t["topic_name"]: [t["paused"], *(c["paused"] for c in t["channels"])] for t in stats["topics"]
        }
        assert paused == {"no-channel": [True], "t": [False, False, True]}
        client = await connect(daemon)
        await client.sub("t", "c")
        client.rdy(200)
        again = {m.body: m for m in await client.messages(98)}
        assert time.monotonic() < put_off + 1.5, "too slow to tell anything"
        last = await client.message()
        assert time.monotonic() > put_off + 1.45
        again[last.body] = last
        assert last.body == held[1].body
        assert set(again) == {b"%d" % n for n in range(1, 100)}
        channel = (await asyncio.to_thread(fetch_json, daemon.http, "/stats?format=json&topic=t&channel=c"))[
            "topics"
        ][0]["channels"][0]
        assert channel["deferred_count"] == 1, "in a minute"
        assert [again[m.body].attempts for m in held[1:]] == [2] * 9
        assert {again[b"%d" % n].attempts for n in range(10, 100)} == {1}
        assert [again[m.body].id for m in held[1:]] == [m.id for m in held[1:]]
        assert [again[m.body].timestamp for m in held[1:]] == [m.timestamp for m in held[1:]]


async def test_sigterm_under_load_loses_nothing_that_was_answered(tmp_path: Path, connect: Connect) -> None:
    with start(tmp_path, "--mem-queue-size=1000") as daemon:
        producer, consumer = await connect(daemon), await connect(daemon)
        await consumer.sub("t", "c")
        consumer.rdy(100)
        stop: asyncio.Task[int] | None = None
        sent = finished = 0
        while not producer.ended:
            if stop is None and len(producer.buffer) > 1000 * len(OK_FRAME):
                stop = asyncio.create_task(stopped(daemon))
            if producer.transport.get_write_buffer_size() < 100_000:
                producer.send(b"".join(encode_pub("t", b"%d" % n) for n in range(sent, sent + 100)))
                sent += 100
            await asyncio.sleep(0)
            while len(consumer.buffer) > 3000 and finished < 50:
                consumer.fin((await consumer.message()).id)
                finished += 1
        assert stop is not None
        assert await stop == 0
        answers = bytes(producer.buffer)
        confirmed = answers.count(OK_FRAME)
        assert answers[: 10 * confirmed] == OK_FRAME * confirmed
        assert answers[10 * confirmed :] in (b"", encode_frame(ERROR, b"E_PUB_FAILED PUB failed exiting"))
    with start(tmp_path) as daemon:
        left = (await asyncio.to_thread(depths, daemon))["t:c"]
        assert confirmed - finished <= left <= sent


async def test_a_second_sigterm_changes_nothing(tmp_path: Path, connect: Connect) -> None:
    with start(tmp_path) as daemon:
        client = await connect(daemon)
        await client.pub("t", *[b"x"] * 100)
        for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGINT):
            daemon.signal(number)
        assert await stopped(daemon) == 0
    with start(tmp_path) as daemon:
        assert await asyncio.to_thread(depths, daemon) == {"t": 100}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_clients_that_are_silent_or_do_not_read_do_not_hold_up_the_end(
    tmp_path: Path, number: signal.Signals, connect: Connect
) -> None:
    with start(tmp_path) as daemon:
        web, silent = (socket.create_connection(parse_host_port(a), 5) for a in (daemon.http, daemon.tcp))
        web.sendall(b"POST /pub?topic=t HTTP/1.1\r\n")
        half = await connect(daemon)
        half.send(b"PUB t\n\0\0\0\5ab")
        stuck = await connect(daemon)
        await stuck.sub("big", "c")
        stuck.transport.pause_reading()
        stuck.rdy(100)
        producer = await connect(daemon)
        for _ in range(10):
            await producer.mpub("big", *[b"x" * 500_000] * 4)
        daemon.signal(number)
        assert await asyncio.to_thread(daemon.wait, 10) == 0
        web.close()
        silent.close()
    with start(tmp_path) as daemon:
        assert (await asyncio.to_thread(depths, daemon))["big:c"] == 40


def test_topics_and_channels_survive_a_crash(tmp_path: Path) -> None:
    with start(tmp_path) as daemon:
        for target in ("/topic/create?topic=t", "/channel/create?topic=t&channel=c", "/topic/pause?topic=t"):
            assert post(daemon.http, target)[0] == 200
        daemon.kill()
    with start(tmp_path) as daemon:
        assert depths(daemon) == {"t": 0, "t:c": 0}
        assert fetch_json(daemon.http, "/stats?format=json")["topics"][0]["paused"]


async def test_stopping_twice_at_once_or_later_is_stopping_once(node: Node) -> None:
    await node.publish("t", b"x")
    await asyncio.gather(node.nsqd.stop(), node.nsqd.stop())
    await node.nsqd.stop()
    await node.start()
    assert node.topic("t").depth == 1


async def test_stopping_closes_every_connection(node: Node) -> None:
    producer, web = await node.connect(), await node.connect_http()
    await producer.pub("t", b"x")
    assert (await web.request("POST", "/pub?topic=t", b"x")).status == 200
    api = await node.connect_http()
    assert (await api.request("GET", "/ping")).status == 200
    await node.stop()
    for client in (producer, web, api):
        await client.closed()


async def test_stopping_what_did_not_start_gives_the_folder_free(tmp_path: Path) -> None:
    async with Node(tmp_path) as node:
        second = Node(tmp_path)
        with pytest.raises(Exception, match="cannot flock directory"):
            await second.start()
        await second.stop()
        assert (await node.request("GET", "/ping")).body == b"OK"


async def test_a_failed_write_at_the_end_is_an_exit_status_of_1(tmp_path: Path, connect: Connect) -> None:
    with start(tmp_path) as daemon:
        client = await connect(daemon)
        await client.pub("t", b"lost")
        (tmp_path / "t.diskqueue.000000.dat").mkdir()
        assert await stopped(daemon) == 1
        assert " ERROR: DISKQUEUE(t) failed to write " in daemon.log


async def test_sigquit_shows_what_is_going_on_and_stores_everything(tmp_path: Path, connect: Connect) -> None:
    with start(tmp_path) as daemon:
        client = await connect(daemon)
        await client.pub("t", *[b"x"] * 100)
        daemon.signal(signal.SIGQUIT)
        assert await asyncio.to_thread(daemon.wait) == 2
        assert "most recent call first" in daemon.log
        assert "Stack for <Task " in daemon.log
        assert lines_of(daemon.log)[-1] == "[nsqd] @ INFO: NSQ: bye"
    with start(tmp_path) as daemon:
        assert await asyncio.to_thread(depths, daemon) == {"t": 100}
