"""nsqlookupd as a process: start, ports, a whole life over both protocols, hostile bytes, the end."""

from __future__ import annotations

import http.client
import os
import re
import signal
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from hypothesis import given, settings

from nsqcore.addresses import parse_host_port
from tests.nsqlookupd.test_state import DOCUMENTED, INPUTS
from tests.support.fetch import fetch, fetch_json, post
from tests.support.lookup import LookupSocket, identify
from tests.support.processes import DaemonProcess, run_to_end, spawn

STAMP = r"\d{4}/\d\d/\d\d \d\d:\d\d:\d\d\.\d{6}"


def start(*flags: str) -> AbstractContextManager[DaemonProcess]:
    return spawn("nsqlookupd", "--tcp-address=127.0.0.1:0", "--http-address=127.0.0.1:0", *flags)


@pytest.fixture(scope="module")
def daemon() -> Iterator[DaemonProcess]:
    """One daemon for the tests that leave nothing behind."""
    with start("--broadcast-address=lookup.example") as daemon:
        yield daemon


# ---- start ----


def test_it_says_what_it_is_and_where_it_listens() -> None:
    with start() as daemon:
        lines = re.sub(STAMP, "@", daemon.log).splitlines()
        assert re.fullmatch(r"\[nsqlookupd\] @ INFO: nsqlookupd v1\.3\.0 \(built w/\S+\)", lines[0])
        assert f"[nsqlookupd] @ INFO: TCP: listening on {daemon.tcp}" in lines
        assert f"[nsqlookupd] @ INFO: HTTP: listening on {daemon.http}" in lines
        assert fetch(daemon.http, "/ping") == (200, b"OK")


def test_it_is_told_its_real_ports_and_tells_them(daemon: DaemonProcess) -> None:
    with LookupSocket(daemon.tcp) as client:
        expected = (
            f'{{"broadcast_address":"lookup.example","hostname":"{socket.gethostname()}",'
            f'"http_port":{parse_host_port(daemon.http).port},"tcp_port":{parse_host_port(daemon.tcp).port},'
            f'"version":"1.3.0"}}'
        )
        assert client.ask(identify()).decode() == expected


@pytest.mark.skipif(sys.platform != "linux", reason="the time is read from /proc")
def test_it_takes_well_under_a_second_of_work_until_it_serves() -> None:
    with start() as daemon:
        fields = Path(f"/proc/{daemon.pid}/stat").read_text().rpartition(")")[2].split()
        ticks = int(fields[11]) + int(fields[12])  # user and system time, which other load does not stretch
        assert ticks / os.sysconf("SC_CLK_TCK") < 0.8


def test_flags_end_at_the_first_other_word() -> None:
    with start("extra", "--version") as daemon:
        assert fetch(daemon.http, "/ping") == (200, b"OK")


@pytest.mark.parametrize("listener", ["tcp", "http"])
def test_a_taken_port_is_fatal(daemon: DaemonProcess, listener: str) -> None:
    taken = daemon.tcp
    other = "http" if listener == "tcp" else "tcp"
    ended = run_to_end("nsqlookupd", f"--{listener}-address={taken}", f"--{other}-address=127.0.0.1:0")
    assert ended.returncode == 1
    (fatal,) = [line for line in ended.stderr.splitlines() if "FATAL" in line]
    assert re.fullmatch(
        rf"\[nsqlookupd\] {STAMP} FATAL: failed to instantiate nsqlookupd - "
        rf"listen \({taken}\) failed - listen tcp {taken}: bind: address already in use",
        fatal,
    )
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    ("flags", "status", "line"),
    [
        (["--bogus"], 2, "flag provided but not defined: -bogus"),
        (
            ["--inactive-producer-timeout=xx"],
            2,
            'invalid value "xx" for flag -inactive-producer-timeout: parse error',
        ),
        (
            ["--log-level=zzz"],
            2,
            (
                'invalid value "zzz" for flag -log-level: '
                "invalid log level 'zzz' (debug, info, warn, error, fatal)"
            ),
        ),
        (["-h"], 0, "Usage of nsqlookupd:"),
        (["--help"], 0, "Usage of nsqlookupd:"),
    ],
)
def test_a_wrong_command_line_is_told_in_the_originals_words(
    flags: list[str], status: int, line: str
) -> None:
    ended = run_to_end("nsqlookupd", *flags)
    assert (ended.returncode, ended.stdout) == (status, "")
    assert ended.stderr.splitlines()[0] == line


def test_its_version_is_the_originals_with_its_own_build() -> None:
    ended = run_to_end("nsqlookupd", "--version")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert re.fullmatch(r"nsqlookupd v1\.3\.0 \(built w/\S+\)\n", ended.stdout)


def test_a_config_file_counts_unless_a_flag_says_otherwise(tmp_path: Path) -> None:
    path = tmp_path / "nsqlookupd.toml"
    path.write_text(
        'tcp_address = "127.0.0.1:0"\nhttp_address = "192.0.2.1:1"\nlog_prefix = "[config] "\n'
        'broadcast_address = "from.config"\ninactive_producer_timeout = 5000\nbogus = 1\n'
    )
    with spawn(
        "nsqlookupd", f"--config={path}", "--http-address=127.0.0.1:0", "--log-prefix=[flag] "
    ) as daemon:
        assert daemon.log.startswith("[flag] ")
        assert "key bogus means nothing to nsqlookupd" in daemon.log
        with LookupSocket(daemon.tcp) as client:
            assert client.identify()["broadcast_address"] == "from.config"


def test_a_config_file_that_can_not_be_read_is_fatal() -> None:
    ended = run_to_end("nsqlookupd", "--config=/nowhere.toml")
    assert ended.returncode == 1
    assert "FATAL: failed to load config file /nowhere.toml - " in ended.stderr


# ---- a life ----


def test_what_a_nsqd_registers_is_found_over_http(daemon: DaemonProcess) -> None:
    with LookupSocket(daemon.tcp) as client, LookupSocket(daemon.tcp) as twin:
        client.identify(broadcast_address="node", topology_zone="z", topology_region="r")
        assert client.ask(b"REGISTER life c1\n") == b"OK"
        assert client.ask(b"REGISTER life c2#ephemeral\n") == b"OK"
        assert client.ask(b"PING\n") == b"OK"
        twin.identify(broadcast_address="node")
        assert twin.ask(b"REGISTER life\n") == b"OK"
        found = fetch_json(daemon.http, "/lookup?topic=life")
        assert found["channels"] == ["c1", "c2#ephemeral"]
        producers = {producer["remote_address"]: producer for producer in found["producers"]}
        assert set(producers) == {client.name, twin.name}, "two connections are two producers"
        assert producers[client.name] == {
            "remote_address": client.name,
            "hostname": "h",
            "broadcast_address": "node",
            "tcp_port": 4150,
            "http_port": 4151,
            "version": "1.3.0",
            "topology_zone": "z",
            "topology_region": "r",
        }
        nodes = {node["remote_address"]: node for node in fetch_json(daemon.http, "/nodes")["producers"]}
        assert (nodes[twin.name]["topics"], nodes[twin.name]["tombstones"]) == (["life"], [False])
        shown = fetch_json(daemon.http, "/debug")["topic:life:"]
        assert {producer["id"] for producer in shown} == {client.name, twin.name}
        now = time.time_ns()
        assert all(now - 60 * 10**9 < producer["last_update"] <= now for producer in shown)
        assert client.ask(b"UNREGISTER life c1\n") == b"OK"
    daemon.wait_for_log(f"client({client.name}) - EOF")
    daemon.wait_for_log(f"client({twin.name}) - EOF")
    found = fetch_json(daemon.http, "/lookup?topic=life")
    assert found == {"channels": ["c1"], "producers": []}, "the ephemeral channel went with its producer"
    assert post(daemon.http, "/topic/delete?topic=life") == (200, b"")
    assert fetch(daemon.http, "/lookup?topic=life") == (404, b'{"message":"TOPIC_NOT_FOUND"}')


def test_the_flags_of_silence_and_tombstones_are_obeyed() -> None:
    with start("--inactive-producer-timeout=0") as daemon, LookupSocket(daemon.tcp) as client:
        client.identify()
        client.ask(b"REGISTER t\n")
        assert fetch_json(daemon.http, "/lookup?topic=t")["producers"] == []
        assert fetch_json(daemon.http, "/nodes")["producers"] == []
        assert fetch_json(daemon.http, "/topics")["topics"] == ["t"]
    for lifetime, hidden in (("0", False), ("1h", True)):
        with start(f"--tombstone-lifetime={lifetime}") as daemon, LookupSocket(daemon.tcp) as client:
            client.identify()
            client.ask(b"REGISTER t\n")
            assert post(daemon.http, "/topic/tombstone?topic=t&node=b:4151") == (200, b"")
            assert len(fetch_json(daemon.http, "/lookup?topic=t")["producers"]) == (0 if hidden else 1)


def test_pings_are_not_in_the_log_unless_they_are_asked_for() -> None:
    for level, shown in (("info", False), ("debug", True)):
        with start(f"--log-level={level}") as daemon:
            with LookupSocket(daemon.tcp) as client:
                client.identify()
                client.ask(b"PING\n")
            daemon.wait_for_log("- EOF")
            assert (": pinged (last ping " in daemon.log) == shown
            assert "ERROR" not in daemon.log, "a nsqd that leaves in order is no error"


# ---- hostile bytes ----


@pytest.mark.parametrize(
    ("sent", "answer"),
    [
        (b"  V2", b"E_BAD_PROTOCOL"),
        (b"GET / HTTP/1.1\r\n\r\n", b"E_BAD_PROTOCOL"),
        (b"  V1FOO\n", b"E_INVALID invalid command FOO"),
        (b"  V1\n", b"E_INVALID invalid command "),
        (b"  V1REGISTER t\n", b"E_INVALID client must IDENTIFY"),
        (b"  V1IDENTIFY\n\xff\xff\xff\xff", b"E_BAD_BODY IDENTIFY body size -1 is not in 0 to 1048576"),
        (
            b"  V1IDENTIFY\n\x7f\xff\xff\xff",
            b"E_BAD_BODY IDENTIFY body size 2147483647 is not in 0 to 1048576",
        ),
        (b"  V1IDENTIFY\n\0\0\0\2[]", b"E_BAD_BODY IDENTIFY failed to decode JSON body"),
        (b"  V1IDENTIFY\n\0\0\0\2{}", b"E_BAD_BODY IDENTIFY missing fields"),
        (b"  V1" + b"x" * (1 << 20), b"E_INVALID command line exceeds 16384 bytes"),
    ],
)
def test_an_error_is_answered_and_the_connection_ends_in_order(
    daemon: DaemonProcess, sent: bytes, answer: bytes
) -> None:
    with LookupSocket(daemon.tcp, magic=b"") as client:
        client.send(sent)
        assert client.read_to_end() == [answer]
    assert fetch(daemon.http, "/ping") == (200, b"OK")


def test_any_bytes_get_documented_answers_and_leave_it_alive(daemon: DaemonProcess) -> None:
    @given(INPUTS)
    @settings(max_examples=150, deadline=None)
    def exchange(data: bytes) -> None:
        with LookupSocket(daemon.tcp, magic=b"") as client:
            client.send(data)
            client.sock.shutdown(socket.SHUT_WR)
            for answer in client.read_to_end():
                assert DOCUMENTED.fullmatch(answer) or answer.startswith(b'{"broadcast_address":')

    exchange()
    assert fetch(daemon.http, "/ping") == (200, b"OK")
    assert "Traceback" not in daemon.log


def test_what_a_client_sends_can_not_forge_a_line_of_the_log(daemon: DaemonProcess) -> None:
    with LookupSocket(daemon.tcp) as client:
        client.identify(broadcast_address="x\n[nsqlookupd] forged")
    daemon.wait_for_log(f"client({client.name}) - EOF")
    assert r"Address:x\n[nsqlookupd] forged TCP:4150" in daemon.log
    assert "\n[nsqlookupd] forged" not in daemon.log


# ---- the end ----


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_in_order_whatever_its_clients_do(number: signal.Signals) -> None:
    with start() as daemon, LookupSocket(daemon.tcp) as nsqd, LookupSocket(daemon.tcp, magic=b"") as silent:
        nsqd.identify()
        nsqd.ask(b"REGISTER t c\n")
        daemon.wait_for_log(f"new client({silent.name})")
        idle = http.client.HTTPConnection(daemon.http)
        idle.request("GET", "/ping")
        assert idle.getresponse().read() == b"OK"
        began = time.monotonic()
        daemon.signal(number)
        assert daemon.wait() == 0
        assert time.monotonic() - began < 10
        assert nsqd.read_to_end() == []
        assert silent.read_to_end() == []
        idle.close()
        closing = [line.partition(" INFO: ")[2] for line in daemon.log.splitlines() if "closing" in line]
        assert closing == [f"TCP: closing {daemon.tcp}", f"HTTP: closing {daemon.http}"]
        assert f"client({nsqd.name}) - EOF" in daemon.log


def send_for_ever(client: LookupSocket, data: bytes) -> None:
    while True:
        client.send(data)


def test_a_client_that_does_not_read_can_not_hold_up_the_end() -> None:
    with start() as daemon, LookupSocket(daemon.tcp) as client:
        client.sock.settimeout(0.5)
        with pytest.raises(TimeoutError):  # when nobody takes any more
            send_for_ever(client, b"PING\n" * 10_000)
        began = time.monotonic()
        assert daemon.stop() == 0
        assert time.monotonic() - began < 10


def test_it_forgets_everything_when_it_ends() -> None:
    with start() as daemon:
        post(daemon.http, "/topic/create?topic=t")
        daemon.kill()
    with start() as daemon:
        assert fetch_json(daemon.http, "/topics") == {"topics": []}
