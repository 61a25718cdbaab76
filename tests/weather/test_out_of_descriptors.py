"""More clients than the process may open files."""

from __future__ import annotations

import os
import socket
import sys
import time
from pathlib import Path

import pytest

from nsqcore.addresses import parse_host_port
from nsqcore.wire.commands import encode_pub
from nsqcore.wire.frames import MAGIC_V2
from tests.support.history import get
from tests.support.processes import spawn

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="limits of another process can be set on Linux only"
)
OK = b"\0\0\0\x06\0\0\0\0OK"


def cpu_s(pid: int) -> float:
    """CPU time that a process has used, seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def publish(client: socket.socket, body: bytes) -> bytes:
    """The answer to a PUB."""
    client.sendall(encode_pub("t", body))
    return client.recv(100)


def test_out_of_descriptors_it_serves_who_is_there_and_others_again_when_some_have_gone(
    tmp_path: Path,
) -> None:
    program = tmp_path / "nsqd"
    program.write_text(
        f"#!{sys.executable}\nimport resource\nresource.setrlimit(resource.RLIMIT_NOFILE, (200, 200))\n"
        "from nsqd.__main__ import main\nraise SystemExit(main())\n",
        encoding="utf-8",
    )
    program.chmod(0o755)
    flags = ("--tcp-address=127.0.0.1:0", "--http-address=127.0.0.1:0", f"--data-path={tmp_path}")
    with spawn(program, *flags) as daemon:
        address = parse_host_port(daemon.tcp)
        with socket.create_connection(address) as first:
            first.settimeout(10)
            first.sendall(MAGIC_V2)
            assert publish(first, b"before") == OK
            crowd = [socket.create_connection(address) for _ in range(300)]
            daemon.wait_for_log("more will soon be turned away: this process may open 200 files")
            before, began = cpu_s(daemon.pid), time.monotonic()
            asked = 0
            while time.monotonic() < began + 0.5:
                time.sleep(0.01)
                assert publish(first, b"meanwhile") == OK
                asked += 1
            assert asked > 10
            assert cpu_s(daemon.pid) - before < 0.35
            for sock in crowd:
                sock.close()
            daemon.wait_for_log("failed to read protocol version - EOF", times=10)
            with socket.create_connection(address) as later:
                later.settimeout(10)
                later.sendall(MAGIC_V2)
                assert publish(later, b"after") == OK
            assert get(daemon, "/ping") == (200, b"OK")
            assert daemon.log.count("turned away") == 1
