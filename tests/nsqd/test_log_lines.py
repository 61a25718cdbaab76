"""What a nsqd logs of its clients and of its own life: the original's lines at the original's levels."""

from __future__ import annotations

import json
import re
import socket
import struct
from pathlib import Path
from struct import pack

import pytest

from nsqcore.addresses import parse_host_port
from nsqcore.wire.commands import encode_pub
from tests.support.processes import DaemonProcess, spawn

FLAGS = ("--tcp-address=127.0.0.1:0", "--http-address=127.0.0.1:0", "--node-id=1")
STAMP = r"\d{4}/\d\d/\d\d \d\d:\d\d:\d\d\.\d{6}"


def lines_of(log: str) -> list[str]:
    """Lines without what differs from run to run."""
    log = re.sub(rf"\[nsqd\] {STAMP} ", "", log)
    return re.sub(r"127\.0\.0\.1:\d+", "ADDR", re.sub(r"\b[0-9a-f]{16}\b", "ID", log)).splitlines()


def talk(daemon: DaemonProcess, data: bytes, *, reset: bool = False) -> list[str]:
    """Sends ``data``, ends the sending side, waits for the end; returns what was logged meanwhile."""
    gone = "failed to read protocol" if len(data) < 4 else "exiting messagePump"
    if len(data) >= 4 and not data.startswith(b"  V2"):
        gone = "bad protocol magic"
    before, ends = len(daemon.log), daemon.log.count(gone)
    with socket.create_connection(parse_host_port(daemon.tcp), 10) as client:
        client.sendall(data)
        if reset:
            assert client.recv(100)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        else:
            client.shutdown(socket.SHUT_WR)
            while client.recv(65536):
                pass
    daemon.wait_for_log(gone, times=ends + 1)
    return lines_of(daemon.log[before:])


NEW = ["INFO: TCP: new client(ADDR)", "INFO: CLIENT(ADDR): desired protocol magic '  V2'"]
END = "INFO: PROTOCOL(V2): [ADDR] exiting ioloop"
PUMP = "INFO: PROTOCOL(V2): [ADDR] exiting messagePump"


@pytest.mark.parametrize(
    ("data", "lines"),
    [
        (b"", ["INFO: TCP: new client(ADDR)", "INFO: failed to read protocol version - EOF"]),
        (b"  V", ["INFO: TCP: new client(ADDR)", "ERROR: failed to read protocol version - unexpected EOF"]),
        (
            b"G\x00\nT / HTTP/1.1\r\n",
            [
                "INFO: TCP: new client(ADDR)",
                r"INFO: CLIENT(ADDR): desired protocol magic 'G\x00\nT'",
                r"ERROR: client(ADDR) bad protocol magic 'G\x00\nT'",
            ],
        ),
        (b"  V2NOP\n", [*NEW, END, PUMP]),
        *(
            (b"  V2" + command, [*NEW, f"ERROR: [ADDR] - {error}{cause}", END, f"ERROR: client(ADDR) - {error}", PUMP])
            for command, error, cause in (
                (b"FOO bar\n", "E_INVALID invalid command FOO", ""),
                (b"a\x1b[2Jb\n", r"E_INVALID invalid command a\x1b[2Jb", ""),
                (b"\xff\n", r"E_INVALID invalid command \xff", ""),
                (b"PUB b$d\n", 'E_BAD_TOPIC PUB topic name "b$d" is not valid', ""),
                (b"PUB t\n" + pack(">i", 9), "E_BAD_MESSAGE PUB failed to read message body", " - EOF"),
                (b"PUB t\n" + pack(">i", 9) + b"x", "E_BAD_MESSAGE PUB failed to read message body", " - unexpected EOF"),
                (b"PUB t\n\0", "E_BAD_MESSAGE PUB failed to read message body size", " - unexpected EOF"),
                (b"PUB t\n", "E_BAD_MESSAGE PUB failed to read message body size", " - EOF"),
                (b"IDENTIFY\n" + pack(">i", 2) + b"{x", "E_BAD_BODY IDENTIFY failed to decode JSON body", " - invalid JSON at byte 1"),
            )
        ),
        (
            b"  V2" + b"x" * 20_000,
            [*NEW, END, "ERROR: client(ADDR) - failed to read command - bufio: buffer full", PUMP],
        ),
    ],
)  # fmt: skip
def test_every_end_of_a_client_has_the_originals_lines(
    quiet_daemon: DaemonProcess, data: bytes, lines: list[str]
) -> None:
    assert talk(quiet_daemon, data) == lines


def test_a_reset_is_told_in_gos_words(quiet_daemon: DaemonProcess) -> None:
    lines = talk(quiet_daemon, b"  V2" + encode_pub("reset", b"x"), reset=True)
    assert "ERROR: client(ADDR) - failed to read command - connection reset by peer" in lines
    assert "Errno" not in "".join(lines)


def test_identify_is_logged_with_what_the_client_said(quiet_daemon: DaemonProcess) -> None:
    body = json.dumps(
        {"client_id": "c", "hostname": "h" * 1000, "deflate": False, "USER_AGENT": "ua\n"}
    ).encode()
    lines = talk(quiet_daemon, b"  V2IDENTIFY\n" + pack(">i", len(body)) + body)
    assert lines[2] == (
        f"INFO: [ADDR] IDENTIFY: {{ClientID:c Hostname:{'h' * 200} HeartbeatInterval:0 OutputBufferSize:0 "
        "OutputBufferTimeout:0 FeatureNegotiation:false TLSv1:false Deflate:false DeflateLevel:0 Snappy:false "
        r"SampleRate:0 UserAgent:ua\n MsgTimeout:0 TopologyRegion: TopologyZone:}"
    )


def test_what_a_client_can_repeat_without_end_is_one_line_of_each_kind(quiet_daemon: DaemonProcess) -> None:
    identify = b"IDENTIFY\n" + pack(">i", 2) + b"{}"
    lost = (
        b"FIN 0123456789abcdef\n" * 100
        + b"REQ 0123456789abcdef 0\n" * 100
        + b"TOUCH 0123456789abcdef\n" * 100
    )
    lines = talk(quiet_daemon, b"  V2" + identify * 100 + b"SUB flood#ephemeral c#ephemeral\n" + lost)
    own = [line for line in lines if "[ADDR]" in line]
    assert [re.sub(r"\{.*", "", line) for line in own] == [
        "INFO: [ADDR] IDENTIFY: ",
        "ERROR: [ADDR] - E_FIN_FAILED FIN ID failed ID not in flight - ID not in flight",
        "ERROR: [ADDR] - E_REQ_FAILED REQ ID failed ID not in flight - ID not in flight",
        "ERROR: [ADDR] - E_TOUCH_FAILED TOUCH ID failed ID not in flight - ID not in flight",
        END,
        PUMP,
    ]


def test_at_debug_every_command_and_message_is_shown(tmp_path: Path) -> None:
    with spawn("nsqd", *FLAGS, f"--data-path={tmp_path}", "--log-level=debug") as daemon:
        lines = talk(
            daemon,
            b"  V2SUB t c\nRDY 1\n" + encode_pub("t", b"hello") + b"BOGUS\n",
        )
        shown = [line.removeprefix("DEBUG: PROTOCOL(V2): ") for line in lines if "(V2): " in line]
        assert shown[:3] == ["[ADDR] [SUB t c]", "[ADDR] [RDY 1]", "[ADDR] [PUB t]"]
        assert "[ADDR] [BOGUS]" in shown
        assert lines.index("DEBUG: PROTOCOL(V2): [ADDR] [BOGUS]") < lines.index(
            "ERROR: [ADDR] - E_INVALID invalid command BOGUS"
        )
        with socket.create_connection(parse_host_port(daemon.tcp), 10) as client:
            client.sendall(b"  V2SUB t c\nRDY 1\n")
            daemon.wait_for_log(" - hello\n")
        assert "DEBUG: PROTOCOL(V2): writing msg(ID) to client(ADDR) - hello" in lines_of(daemon.log)


def test_a_start_and_an_end_have_the_originals_lines(tmp_path: Path) -> None:
    with spawn("nsqd", *FLAGS, f"--data-path={tmp_path}") as daemon:
        talk(daemon, b"  V2SUB t c\n")
        assert daemon.stop() == 0
        lines = lines_of(daemon.log)
    start = [line for line in lines if not line.startswith(("INFO: TCP: new", "INFO: CLIENT"))]
    assert start[1:5] == [
        "INFO: ID: 1",
        f"INFO: NSQ: persisting topic/channel metadata to {tmp_path}/nsqd.dat",
        "INFO: TCP: listening on ADDR",
        "INFO: HTTP: listening on ADDR",
    ]
    assert [line for line in lines if line.startswith(("INFO: TOPIC", "INFO: CHANNEL"))] == [
        "INFO: TOPIC(t): created",
        "INFO: TOPIC(t): new channel(c)",
        "INFO: TOPIC(t): closing",
        "INFO: CHANNEL(c): closing",
    ]
    ending = lines[lines.index("INFO: TCP: closing ADDR") :]
    assert [line for line in ending if "NSQ:" in line or "HTTP:" in line] == [
        "INFO: HTTP: closing ADDR",
        f"INFO: NSQ: persisting topic/channel metadata to {tmp_path}/nsqd.dat",
        "INFO: NSQ: closing topics",
        "INFO: NSQ: stopping subsystems",
        "INFO: NSQ: bye",
    ]


def test_json_lines_say_the_same(tmp_path: Path) -> None:
    with spawn(
        "nsqd", *FLAGS, f"--data-path={tmp_path}", "--log-format=json", "--log-prefix=[x] ", listeners=()
    ) as daemon:
        daemon.wait_for_log("HTTP: listening on ")
        assert daemon.stop() == 0
        events = [json.loads(line) for line in daemon.log.splitlines()]
    assert [event["message"] for event in events][-1] == "NSQ: bye"
    assert {event["prefix"] for event in events} == {"[x]"}
    assert {event["level"] for event in events} == {"INFO"}
