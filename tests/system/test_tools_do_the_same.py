"""What the tools make of messages: one table of expectations, kept by the originals and by ours."""

from __future__ import annotations

import gzip
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.support.fetch import fetch_json
from tests.support.history import post
from tests.support.processes import DaemonProcess
from tests.system.cluster import Kind, nsqd, run_tool, tool, topic_stats
from tests.system.waiting import until

KINDS = pytest.mark.parametrize("kind", Kind, ids=lambda kind: f"tool: {kind.value}")


@pytest.fixture
def node(tmp_path: Path) -> Iterator[DaemonProcess]:
    """A nsqd of ours."""
    with nsqd(Kind.OURS, tmp_path / "node") as daemon:
        yield daemon


def publish(daemon: DaemonProcess, topic: str, bodies: Sequence[bytes]) -> None:
    """Publishes messages of any bytes but newlines, and makes the channel ``c``."""
    assert post(daemon, f"/topic/create?topic={topic}")[0] == 200
    assert post(daemon, f"/channel/create?topic={topic}&channel=c")[0] == 200
    assert post(daemon, f"/mpub?topic={topic}", b"\n".join(bodies))[0] == 200


def done(daemon: DaemonProcess, topic: str, count: int) -> bool:
    """The channel ``c`` has had so many messages, and has none left."""
    (channel,) = (c for c in topic_stats(daemon, topic)["channels"] if c["channel_name"] == "c")
    left = channel["depth"] + channel["in_flight_count"] + channel["deferred_count"]
    return bool(channel["message_count"] == count and not left)


# ---- nsq_to_file


@KINDS
@pytest.mark.parametrize(
    ("flags", "names"),
    [
        ((), {"t.<HOST>.X.log"}),
        (("--filename-format=<DATETIME>/<TOPIC>-<HOST><REV>.txt",), {"X/t-<HOST>.txt"}),
        (("--gzip", "--host-identifier=me"), {"t.me-000000.X.log.gz"}),
        (("--gzip", "--filename-format=<TOPIC><REV>.gz"), {"t-000000.gz"}),
        (("--rotate-size=1", "--filename-format=<TOPIC><REV>"), {f"t-{n:06}" for n in range(5)}),
        (("--filename-format=<TOPIC><REV>", "--datetime-format=%j"), {"t"}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_nsq_to_file_names_its_files_and_fills_them(
    kind: Kind, node: DaemonProcess, flags: tuple[str, ...], names: set[str], tmp_path: Path
) -> None:
    bodies = [b"line %d" % n for n in range(5)]
    publish(node, "t", bodies)
    files = tmp_path / "files"
    files.mkdir()
    always = (f"--nsqd-tcp-address={node.tcp}", "--topic=t", "--channel=c", f"--output-dir={files}")
    host = ("--host-identifier=<SHORT_HOST>", "--datetime-format=X")
    with tool("nsq_to_file", *always, "--sync-interval=50ms", *host, *flags, kind=kind):
        until(lambda: done(node, "t", len(bodies)))
    found = {str(file.relative_to(files)): file.read_bytes() for file in files.rglob("*") if file.is_file()}
    short = fetch_json(node.http, "/info")["hostname"].partition(".")[0]
    assert {name for name, data in found.items() if data} == {name.replace("<HOST>", short) for name in names}
    texts = [gzip.decompress(data) if name.endswith(".gz") else data for name, data in found.items()]
    assert Counter(line for text in texts for line in text.split(b"\n")[:-1]) == Counter(bodies)
    assert all(text.endswith(b"\n") for text in texts if text)


# ---- nsq_to_http


@contextmanager
def server() -> Iterator[tuple[str, list[tuple[str, str, dict[str, str], bytes]]]]:
    """Takes every request; its address, and what came: method, target, headers, body."""
    came: list[tuple[str, str, dict[str, str], bytes]] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            came.append((self.command, self.path, dict(self.headers.items()), body))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_POST  # noqa: N815 - the name is the library's

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - likewise
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as made:
        thread = threading.Thread(target=made.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{made.server_address[1]}", came
        finally:
            made.shutdown()
            thread.join()


BODIES = [b"plain", b"two words & more", b"100%s", b"\xc3\xa9/?=+"]


@KINDS
def test_nsq_to_http_posts_bodies_with_its_headers(kind: Kind, node: DaemonProcess) -> None:
    publish(node, "t", BODIES)
    with server() as (url, came):
        at = (f"--nsqd-tcp-address={node.tcp}", "--topic=t", "--channel=c", f"--post={url}/in?x=1")
        more = ("--content-type=text/plain", "--header=X-Own: yes: it is")
        with tool("nsq_to_http", *at, *more, kind=kind):
            until(lambda: done(node, "t", len(BODIES)))
    assert Counter(body for *_, body in came) == Counter(BODIES)
    for method, target, headers, body in came:
        assert (method, target) == ("POST", "/in?x=1")
        assert headers["User-Agent"] == "nsq_to_http v1.3.0"
        assert headers["Content-Type"] == "text/plain"
        assert headers["Content-Length"] == str(len(body))
        assert headers["X-Own"] == "yes: it is"


@KINDS
def test_nsq_to_http_escapes_bodies_in_urls(kind: Kind, node: DaemonProcess) -> None:
    publish(node, "t", BODIES)
    with server() as (url, came):
        at = (f"--nsqd-tcp-address={node.tcp}", "--topic=t", "--channel=c", f"--get={url}/in?d=%s")
        with tool("nsq_to_http", *at, kind=kind):
            until(lambda: done(node, "t", len(BODIES)))
    assert {(method, target) for method, target, *_ in came} == {
        ("GET", "/in?d=plain"),
        ("GET", "/in?d=two+words+%26+more"),
        ("GET", "/in?d=100%25s"),
        ("GET", "/in?d=%C3%A9%2F%3F%3D%2B"),
    }


# ---- nsq_to_nsq

JSON = [
    b'{"kind": "a", "n": 1, "text": "<&>"}',
    b'{"kind":"a","n":1.0}',
    b'{"kind":"a","n":"1"}',
    b'{"kind":"b","n":2}',
    b'{"kind":"a","n":true}',
    b'{"n":null}',
    b"not json",
    b"[1]",
]


@KINDS
@pytest.mark.parametrize(
    ("flags", "passed"),
    [
        (("--require-json-field=kind",), JSON[:5]),
        (("--require-json-field=kind", "--require-json-value=a"), [*JSON[:3], JSON[4]]),
        (("--require-json-field=n",), JSON[:6]),
        (
            ("--whitelist-json-field=text", "--whitelist-json-field=kind", "--require-json-field=text"),
            [b'{"kind":"a","text":"\\u003c\\u0026\\u003e"}'],
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_nsq_to_nsq_filters_messages_by_their_json(
    kind: Kind, node: DaemonProcess, flags: tuple[str, ...], passed: list[bytes]
) -> None:
    # what lacks the field where a value is wanted fails in the original, and does so for minutes
    bodies = [body for body in JSON if b"kind" in body] if "--require-json-value=a" in flags else JSON
    publish(node, "t", bodies)
    assert post(node, "/topic/create?topic=copy")[0] == 200
    at = (f"--nsqd-tcp-address={node.tcp}", "--topic=t", "--channel=c", "--destination-topic=copy")
    with tool("nsq_to_nsq", *at, f"--destination-nsqd-tcp-address={node.tcp}", *flags, kind=kind):
        until(lambda: done(node, "t", len(bodies)))
        until(lambda: topic_stats(node, "copy")["message_count"] == len(passed))
    ask = (f"--nsqd-tcp-address={node.tcp}", "--topic=copy", "--channel=c", f"-n={len(passed)}")
    assert Counter(run_tool("nsq_tail", *ask, kind=Kind.OURS)) == Counter(passed)


@KINDS
def test_nsq_to_nsq_compares_numbers_as_numbers(kind: Kind, node: DaemonProcess) -> None:
    bodies = [body for body in JSON if b'"n"' in body]
    publish(node, "t", bodies)
    assert post(node, "/topic/create?topic=copy")[0] == 200
    at = (f"--nsqd-tcp-address={node.tcp}", "--topic=t", "--channel=c", "--destination-topic=copy")
    value = ("--require-json-field=n", "--require-json-value=1")
    with tool("nsq_to_nsq", *at, f"--destination-nsqd-tcp-address={node.tcp}", *value, kind=kind):
        until(lambda: done(node, "t", len(bodies)))
        until(lambda: topic_stats(node, "copy")["message_count"] == 3)
    ask = (f"--nsqd-tcp-address={node.tcp}", "--topic=copy", "--channel=c", "-n=3")
    assert Counter(run_tool("nsq_tail", *ask, kind=Kind.OURS)) == Counter(JSON[:3])


# ---- nsq_tail and to_nsq


@KINDS
def test_nsq_tail_prints_the_topic_before_each_body(kind: Kind, node: DaemonProcess) -> None:
    publish(node, "t", [b"one", b"two"])
    at = (f"--nsqd-tcp-address={node.tcp}", "--topic=t", "--channel=c", "-n=2", "--print-topic")
    assert Counter(run_tool("nsq_tail", *at, kind=kind)) == Counter([b"t | one", b"t | two"])


@KINDS
@pytest.mark.parametrize(
    ("flags", "text", "bodies"),
    [
        ((), b"one\n\n two \n", [b"one", b" two "]),
        (("--delimiter=,",), b"a,b\nc,,", [b"a", b"b\nc"]),
        (("--delimiter=\t", "--rate=100"), b"a\tb\t", [b"a", b"b"]),
    ],
    ids=["lines", "comma", "tab"],
)
def test_to_nsq_publishes_what_stands_between_delimiters(
    kind: Kind, node: DaemonProcess, flags: tuple[str, ...], text: bytes, bodies: list[bytes]
) -> None:
    at = (f"--nsqd-tcp-address={node.tcp}", "--topic=t")
    run_tool("to_nsq", *at, *flags, stdin=text, kind=kind)
    ask = (*at, "--channel=c", f"-n={len(bodies)}")
    printed = b"\n".join(run_tool("nsq_tail", *ask, kind=Kind.OURS))
    assert sorted(printed.split(b"\n")) == sorted(b"\n".join(bodies).split(b"\n"))
    assert topic_stats(node, "t")["message_count"] == len(bodies)


@KINDS
def test_statistics_name_the_tool(kind: Kind, node: DaemonProcess) -> None:
    with tool("nsq_tail", f"--nsqd-tcp-address={node.tcp}", "--topic=t", "--channel=c", kind=kind):
        until(lambda: topic_stats(node, "t").get("channels") and clients(node))
        (client,) = clients(node)
        assert str(client["user_agent"]).startswith("nsq_tail/1.3.0 ")
        assert client["ready_count"] == 200


def clients(daemon: DaemonProcess) -> list[dict[str, object]]:
    """Those of the channel ``c`` that have said what they take."""
    found: list[dict[str, object]] = topic_stats(daemon, "t")["channels"][0]["clients"]
    return [client for client in found if client["ready_count"]]
