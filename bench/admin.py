"""``make bench-admin``: nsqadmin before a large cluster: CPU and memory of the sampler, and the time of each page.

The nodes are simulated, in a process of their own: each has a port, answers ``/stats`` with the JSON of as many topics
and channels as asked for, and counts on from question to question. nsqadmin itself is a process as it is installed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any

from aiohttp import web

HOST = "127.0.0.1"
_TICKS = os.sysconf("SC_CLK_TCK")


class Nodes:
    """Simulated nsqds and the nsqlookupd that names them."""

    def __init__(self, count: int, topics: int, channels: int) -> None:
        self.count = count
        self.topics = [f"topic-{i:04d}" for i in range(topics)]
        self.channels = [f"channel-{i}" for i in range(channels)]
        self.ports: list[int] = []
        self.started = int(time.time()) - 86400
        self._bodies: dict[tuple[str, str, int], bytes] = {}

    def body(self, topic: str, channel: str, phase: int) -> bytes:
        """The answer to ``/stats``; the same few for all nodes, for it is not they who are measured."""
        key = (topic, channel, phase)
        if key not in self._bodies:
            if len(self._bodies) > 64:
                self._bodies.clear()
            names = [topic] if topic else self.topics
            told = {
                "version": "1.3.0",
                "health": "OK",
                "start_time": self.started,
                "topics": [self._topic(name, channel, phase) for name in names],
                "memory": {"heap_in_use_bytes": 50 << 20},
                "producers": None,
            }
            self._bodies[key] = json.dumps(told).encode()
        return self._bodies[key]

    def _topic(self, name: str, channel: str, phase: int) -> dict[str, Any]:
        latency = {"count": 0, "percentiles": None}
        count = 1000 + phase * (1 + hash(name) % 50)
        shown = [channel] if channel else self.channels
        return {
            "topic_name": name,
            "channels": [
                {
                    "channel_name": one,
                    "depth": phase % 7,
                    "backend_depth": 0,
                    "in_flight_count": 2,
                    "deferred_count": 0,
                    "message_count": count,
                    "requeue_count": phase,
                    "timeout_count": 0,
                    "client_count": 3,
                    "clients": None,
                    "paused": False,
                    "e2e_processing_latency": latency,
                }
                for one in shown
            ],
            "depth": 0,
            "backend_depth": 0,
            "message_count": count,
            "message_bytes": count * 200,
            "paused": False,
            "e2e_processing_latency": latency,
        }

    def producer(self, port: int) -> dict[str, Any]:
        """A node as it is known to nsqlookupd."""
        return {
            "remote_address": f"{HOST}:{port}",
            "hostname": f"node-{port}",
            "broadcast_address": HOST,
            "tcp_port": port,
            "http_port": port,
            "version": "1.3.0",
        }

    async def answer(self, request: web.BaseRequest) -> web.Response:
        """What nsqds and the nsqlookupd are asked."""
        query = request.query
        if request.path == "/stats":
            phase = int(time.time() / 5)
            body = self.body(query.get("topic", ""), query.get("channel", ""), phase)
            return web.Response(body=body, content_type="application/json")
        if request.path == "/nodes":
            tombstones = [False] * len(self.topics)
            extra = {"topics": self.topics, "tombstones": tombstones}
            return web.json_response({"producers": [self.producer(port) | extra for port in self.ports]})
        if request.path == "/topics":
            return web.json_response({"topics": self.topics})
        if request.path == "/channels":
            return web.json_response({"channels": self.channels})
        if request.path == "/lookup":
            producers = [self.producer(port) for port in self.ports]
            return web.json_response({"channels": self.channels, "producers": producers})
        return web.json_response({"message": "NOT_FOUND"}, status=404)

    async def serve(self, told: Connection) -> None:
        """Listens, tells the ports, the last one the nsqlookupd's, and goes on until killed."""
        server = web.Server(self.answer)
        runner = web.ServerRunner(server)
        await runner.setup()
        for _ in range(self.count + 1):
            await web.TCPSite(runner, HOST, 0).start()
        ports = [address[1] for address in runner.addresses]
        self.ports = ports[:-1]
        told.send(ports)
        await asyncio.Event().wait()


def _serve(told: Connection, count: int, topics: int, channels: int) -> None:
    asyncio.run(Nodes(count, topics, channels).serve(told))


@contextmanager
def cluster(count: int, topics: int, channels: int) -> Iterator[list[int]]:
    """The ports of the nodes, and of the nsqlookupd as the last."""
    here, there = multiprocessing.Pipe()
    spawn = multiprocessing.get_context("spawn")
    process = spawn.Process(target=_serve, args=(there, count, topics, channels), daemon=True)
    process.start()
    try:
        if not here.poll(30):
            raise SystemExit("the simulated nodes did not start")
        yield here.recv()
    finally:
        process.kill()
        process.join()


@contextmanager
def nsqadmin(lookupd: int, folder: str) -> Iterator[tuple[int, str]]:
    """Process id and URL of a nsqadmin."""
    flags = (f"--lookupd-http-address={HOST}:{lookupd}", f"--http-address={HOST}:0", f"--data-path={folder}")
    process = subprocess.Popen(
        [sys.executable, "-m", "nsqadmin", *flags], stderr=subprocess.PIPE, text=True, bufsize=1
    )
    assert process.stderr is not None
    try:
        for line in process.stderr:
            if found := re.search(r"listening on (\S+)", line):
                break
        else:
            raise SystemExit("nsqadmin did not start")
        os.set_blocking(process.stderr.fileno(), False)
        yield process.pid, f"http://{found[1]}"
    finally:
        process.terminate()
        try:
            said = process.communicate(timeout=30)[1]
        except subprocess.TimeoutExpired:
            process.kill()
            said = process.communicate()[1]
        print("\n".join(line for line in said.splitlines() if "HISTORY" in line))


def cpu_s(pid: int) -> float:
    """Seconds of CPU that a process has used."""
    with open(f"/proc/{pid}/stat") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def memory_mb(pid: int, what: str) -> float:
    """``VmRSS`` or ``VmHWM`` of a process, in MB."""
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[1]) / 1000 for line in status if line.startswith(what + ":"))


def fetch(url: str) -> tuple[float, int, int]:
    """Seconds, status and bytes of a page."""
    began = time.monotonic()
    try:
        with urllib.request.urlopen(url, timeout=60) as answer:
            return time.monotonic() - began, answer.status, len(answer.read())
    except urllib.error.HTTPError as e:
        return time.monotonic() - began, e.code, len(e.read())


def main() -> None:
    """Measures, and prints two tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=200)
    parser.add_argument("--topics", type=int, default=500)
    parser.add_argument("--channels", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=60, help="how long the sampler is watched")
    args = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        cluster(args.nodes, args.topics, args.channels) as ports,
        nsqadmin(ports[-1], folder) as (pid, url),
    ):
        print(f"{args.nodes} nodes x {args.topics} topics x {args.channels} channels\n")
        first_s, *_ = fetch(url + "/topics")
        used, began, slowest = cpu_s(pid), time.monotonic(), 0.0
        while time.monotonic() - began < args.seconds:
            slowest = max(slowest, fetch(url + "/ping")[0])
            time.sleep(0.2)
        share = (cpu_s(pid) - used) / (time.monotonic() - began)
        print("| sampler | |\n| --- | ---: |")
        print(f"| first page after the start | {first_s:.2f} s |")
        print(f"| CPU, of one core | {share:.1%} |")
        print(f"| slowest /ping meanwhile | {slowest * 1000:.0f} ms |")
        print(f"| memory | {memory_mb(pid, 'VmRSS'):.0f} MB |")
        print("\n| page | median | slowest | kB |\n| --- | ---: | ---: | ---: |")
        paths = ("", "topics", "nodes", "map", "lookup", "counter", "topics/topic-0001")
        for path in (*paths, "topics/topic-0001/channel-1", f"nodes/{HOST}:{ports[0]}"):
            times, size, status = [], 0, 0
            for _ in range(5):
                took_s, status, size = fetch(f"{url}/{path}")
                times.append(took_s)
            told = "" if status == 200 else f" ({status})"
            median = statistics.median(times)
            print(f"| /{path}{told} | {median:.2f} s | {max(times):.2f} s | {size / 1000:.0f} |", flush=True)
        print(f"\nmost memory: {memory_mb(pid, 'VmHWM'):.0f} MB")


if __name__ == "__main__":
    main()
