"""The program between real daemons and real endpoints: ours, and the originals where ``NSQ_PEER_BIN`` names them."""

from __future__ import annotations

import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread

import pytest

from tests.nsqclient.tools.nsqds import make_channel
from tests.support.fetch import fetch_json, post
from tests.support.needs import original
from tests.support.processes import DaemonProcess, spawn
from tests.support.tools import run_tool, start_tool

LOCAL = ("--tcp-address=127.0.0.1:0", "--http-address=127.0.0.1:0", "--broadcast-address=127.0.0.1")
TIMEOUT_S = 20.0


class Endpoint(ThreadingHTTPServer):
    """A server of Python's own, in threads; ``bodies`` are what it got by POST, ``paths`` by GET."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, statuses: Callable[[int], int]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.statuses = statuses
        self.bodies: list[bytes] = []
        self.paths: list[str] = []
        self.agents: set[str] = set()
        self.gate = Event()
        self.gate.set()

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Endpoint

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.bodies.append(body)
        self._answer(len(self.server.bodies))

    def do_GET(self) -> None:
        self.server.paths.append(self.path)
        self._answer(len(self.server.paths))

    def _answer(self, number: int) -> None:
        self.server.agents.add(self.headers["User-Agent"])
        self.server.gate.wait(TIMEOUT_S)
        self.send_response(self.server.statuses(number))
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Nothing."""


@contextmanager
def endpoint(statuses: Callable[[int], int] = lambda number: 200) -> Iterator[Endpoint]:
    """An endpoint; ``statuses`` gives the status of its n-th answer."""
    with Endpoint(statuses) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.gate.set()
            server.shutdown()
            thread.join()


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Raises AssertionError when it does not come true."""
    deadline = time.monotonic() + TIMEOUT_S
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


def publish(nsqd: DaemonProcess, *bodies: bytes) -> None:
    """Line by line, to the topic t."""
    assert post(nsqd.http, "/mpub?topic=t", b"\n".join(bodies))[0] == 200


def counts(nsqd: DaemonProcess, channel: str = "nsq_to_http") -> tuple[int, int, int, int]:
    """Depth, in flight, deferred and messages of the channel; all 0 while there is none."""
    topics = fetch_json(nsqd.http, "/stats?format=json&topic=t")["topics"]
    for found in topics[0]["channels"] if topics else ():
        if found["channel_name"] == channel:
            waiting = found["depth"], found["in_flight_count"], found["deferred_count"]
            return (*waiting, found["message_count"])
    return (0, 0, 0, 0)


@pytest.fixture(params=["ours", "original"])
def programs(request: pytest.FixtureRequest) -> tuple[str | Path, str | Path]:
    """nsqd and nsqlookupd."""
    if request.param == "ours":
        return "nsqd", "nsqlookupd"
    return original("nsqd"), original("nsqlookupd")


@pytest.fixture
def lookupd(programs: tuple[str | Path, str | Path]) -> Iterator[DaemonProcess]:
    with spawn(programs[1], *LOCAL) as daemon:
        yield daemon


@pytest.fixture
def nsqd(
    programs: tuple[str | Path, str | Path], lookupd: DaemonProcess, tmp_path: Path
) -> Iterator[DaemonProcess]:
    with spawn(
        programs[0], *LOCAL, f"--data-path={tmp_path}", f"--lookupd-tcp-address={lookupd.tcp}"
    ) as daemon:
        yield daemon


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_reads_from_a_nsqd_until_a_signal_ends_it(nsqd: DaemonProcess, number: signal.Signals) -> None:
    bodies = [b"%d" % n for n in range(500)]
    with endpoint() as sink:
        args = ("--topic=t", f"--nsqd-tcp-address={nsqd.tcp}", f"--post={sink.url}/x", "--status-every=0")
        with start_tool("nsq_to_http", *args) as tool:
            publish(nsqd, *bodies)
            wait_until(lambda: len(sink.bodies) >= 500, "not everything was sent")
            wait_until(lambda: counts(nsqd) == (0, 0, 0, 500), "not everything was finished")
            tool.signal(number)
            assert tool.wait() == 0
            assert tool.out == b""
        assert sorted(sink.bodies) == sorted(bodies)
        assert sink.agents == {"nsq_to_http v1.3.0"}


def test_it_finds_nsqds_through_nsqlookupd(nsqd: DaemonProcess, lookupd: DaemonProcess) -> None:
    publish(nsqd, b"one")
    wait_until(
        lambda: "t" in fetch_json(lookupd.http, "/topics")["topics"], "nsqlookupd does not know the topic"
    )
    with endpoint() as sink:
        args = (
            "--topic=t",
            f"--lookupd-http-address={lookupd.http}",
            f"--get={sink.url}/?q=%s",
            "--channel=c",
        )
        with start_tool("nsq_to_http", *args) as tool:
            wait_until(lambda: sink.paths == ["/?q=one"], "nothing came")
            assert tool.stop() == 0
    assert counts(nsqd, "c") == (0, 0, 0, 1)


def test_the_variable_says_where_messages_come_from(nsqd: DaemonProcess) -> None:
    with endpoint() as sink:
        env = {"NSQ_URL": f"nsqd://{nsqd.tcp}"}
        with start_tool("nsq_to_http", "--topic=t", f"--post={sink.url}", env=env) as tool:
            publish(nsqd, b"one")
            wait_until(lambda: sink.bodies == [b"one"], "nothing came")
            assert tool.stop() == 0


def test_nothing_is_lost_by_a_signal_while_requests_are_under_way(nsqd: DaemonProcess) -> None:
    bodies = [b"%d" % n for n in range(300)]
    with endpoint() as sink:
        sink.gate.clear()
        args = ("--topic=t", f"--nsqd-tcp-address={nsqd.tcp}", f"--post={sink.url}", "--n=20")
        with start_tool("nsq_to_http", *args) as tool:
            publish(nsqd, *bodies)
            wait_until(lambda: len(sink.bodies) == 20, "requests did not come")
            tool.signal(signal.SIGTERM)
            wait_until(lambda: counts(nsqd)[1] == 20, "what was not begun was not handed back")
            assert tool.poll() is None
            sink.gate.set()
            assert tool.wait() == 0
        wait_until(lambda: counts(nsqd)[:3] == (280, 0, 0), "what was sent was not finished")
        with start_tool("nsq_to_http", *args) as tool:
            wait_until(lambda: len(sink.bodies) == 300, "the rest did not come")
            assert tool.stop() == 0
        assert sorted(sink.bodies) == sorted(bodies)


def test_a_request_that_does_not_end_keeps_it_no_longer_than_its_time(nsqd: DaemonProcess) -> None:
    with endpoint() as sink:
        sink.gate.clear()
        args = ("--topic=t", f"--nsqd-tcp-address={nsqd.tcp}", f"--post={sink.url}")
        with start_tool("nsq_to_http", *args, "--http-client-request-timeout=1s") as tool:
            publish(nsqd, b"one")
            wait_until(lambda: len(sink.bodies) == 1, "nothing came")
            started = time.monotonic()
            assert tool.stop() == 0
            assert time.monotonic() - started < 5
            assert "no answer within 1 s" in tool.err
        wait_until(lambda: sum(counts(nsqd)[:3]) == 1, "the message is lost")
        assert counts(nsqd)[1] == 0


def test_an_endpoint_that_can_not_be_connected_to_is_given_up_in_time(nsqd: DaemonProcess) -> None:
    with ExitStack() as stack:
        server = stack.enter_context(socket.socket())
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        for _ in range(4):  # nobody accepts these, so that there is no room for more
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(server.getsockname())
        address = "{}:{}".format(*server.getsockname())
        args = ("--topic=t", f"--nsqd-tcp-address={nsqd.tcp}", f"--post=http://{address}/")
        with start_tool("nsq_to_http", *args, "--http-client-connect-timeout=200ms") as tool:
            publish(nsqd, b"one")
            tool.wait_for_err(f"http://{address}/: dial tcp {address}: i/o timeout")
            assert tool.stop() == 0


def test_a_failed_request_is_logged_with_id_size_and_reason(nsqd: DaemonProcess) -> None:
    quickly = ("--consumer-opt=default_requeue_delay,0", "--consumer-opt=backoff_multiplier,10ms")
    with endpoint(lambda number: 500 if number == 1 else 200) as sink:
        args = ("--topic=t", f"--nsqd-tcp-address={nsqd.tcp}", f"--post={sink.url}", *quickly)
        with start_tool("nsq_to_http", *args, "--log-level=error") as tool:
            publish(nsqd, b"hello")
            wait_until(lambda: len(sink.bodies) == 2, "it did not come again")
            assert tool.stop() == 0
    (line,) = tool.err.splitlines()
    assert f" ERR [t/nsq_to_http] ({nsqd.tcp}) message " in line
    assert line.endswith(f"of 5 bytes was not sent at attempt 1 - {sink.url}: got status code 500")


def test_sighup_kills_it_as_the_original(nsqd: DaemonProcess) -> None:
    args = ("--topic=t", f"--nsqd-tcp-address={nsqd.tcp}", "--post=http://127.0.0.1:1/")
    with start_tool("nsq_to_http", *args) as tool:
        tool.wait_for_err("subscribed")
        tool.signal(signal.SIGHUP)
        assert tool.wait() == -signal.SIGHUP


# ---- beginnings


def test_a_nsqd_that_is_not_there_is_fatal() -> None:
    ended = run_tool("nsq_to_http", "--topic=t", "--nsqd-tcp-address=127.0.0.1:1", "--post=http://a/")
    assert ended.status == 1
    assert "refused" in ended.err.splitlines()[-1]


def test_version_help_and_mistakes() -> None:
    assert run_tool("nsq_to_http", "--version") == (0, b"nsq_to_http v1.3.0\n", "")
    shown = run_tool("nsq_to_http", "--help")
    assert (shown.status, shown.out) == (0, b"")
    assert "--post=http://app1:8000/orders" in shown.err
    for args in (["--sample=x"], ["--no-such-flag"], ["--consumer-opt=nonsense,1"], ["--n=many"]):
        ended = run_tool("nsq_to_http", *args)
        assert ended.status == 2, args
        assert "Usage of nsq_to_http" in ended.err
    ended = run_tool("nsq_to_http", "--topic=t", "leftover")
    assert ended.status == 1
    assert ended.err.endswith(" --nsqd-tcp-address or --lookupd-http-address required\n")


REFUSED = [
    ["--header=a", "--topic=t"],
    [],
    ["--topic=a b", "--nsqd-tcp-address=127.0.0.1:1", "--post=http://a"],
    ["--topic=t", "--content-type=x"],
    ["--topic=t", "--content-type=", "--post=http://a"],
    ["--topic=t"],
    ["--topic=t", "--nsqd-tcp-address=127.0.0.1:1", "--lookupd-http-address=127.0.0.1:1"],
    ["--topic=t", "--nsqd-tcp-address=127.0.0.1:1"],
    ["--topic=t", "--nsqd-tcp-address=127.0.0.1:1", "--get=http://a/%s", "--post=http://a"],
    ["--topic=t", "--nsqd-tcp-address=127.0.0.1:1", "--get=http://a/"],
    ["--topic=t", "--nsqd-tcp-address=127.0.0.1:1", "--get=http://a/%s", "--sample=2"],
    ["--topic=t", "--lookupd-http-address=127.0.0.1:1", "--post=http://a", "--sample=-1"],
]


def test_refusals_are_the_originals_word_for_word() -> None:
    program = original("nsq_to_http")
    for args in REFUSED:
        theirs, ours = run_tool(program, *args), run_tool("nsq_to_http", *args)
        assert (ours.status, ours.err[20:]) == (theirs.status, theirs.err[20:]), args
        assert ours.status == 1


def test_urls_are_those_of_the_original(nsqd: DaemonProcess) -> None:
    for channel in ("ours", "theirs"):
        make_channel(nsqd, "t", channel)
    publish(nsqd, b"a b%20&c", b"%s\x01\xff~-_.", b"x" * 3000)
    got: list[list[str]] = []
    for channel, program in (("ours", "nsq_to_http"), ("theirs", original("nsq_to_http"))):
        with endpoint() as sink:
            args = ("--topic=t", f"--nsqd-tcp-address={nsqd.tcp}", f"--get={sink.url}/x?q=%s&r=1")
            with start_tool(program, *args, f"--channel={channel}") as tool:
                wait_until(lambda there=sink.paths: len(there) == 3, "not all came")  # type: ignore[misc]
                assert tool.stop() == 0
            got.append(sorted(sink.paths))
    assert got[0] == got[1]
