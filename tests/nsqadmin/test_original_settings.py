"""Settings, rates and notifications beside the original: the same questions to both, the same answers."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from nsqadmin.options import COMMAND_LINE
from tests.nsqadmin.world import Visitor, World
from tests.support.fake_cluster import topic
from tests.support.graphite import FakeGraphite
from tests.support.needs import original
from tests.support.sink import Sink
from tests.support.tls import Authority
from tests.support.tools import start_tool

FLAGS = (
    "--admin-user=ann",
    "--admin-user=bob",
    "--acl-http-header=X-User",
    "--statsd-interval=1500ms",
    "--http-client-connect-timeout=250ms",
    "--http-client-request-timeout=2s",
    "--statsd-prefix=x.%s",
    "--log-level=info",
)
OURS = {"graphite_url", "nsqlookupd_http_addresses", "http_address"}
"""Keys with values that differ on purpose, or from run to run."""
CONFIG = [
    *(("GET", f"/config/{flag.key}", b"") for flag in COMMAND_LINE.flags.values() if flag.key not in OURS),
    ("GET", "/config/nope", b""),
    ("GET", "/config/", b""),
    ("PUT", "/config/admin_users", b"[]"),
    ("PUT", "/config/nope", b"x"),
    ("PUT", "/config/log_level", b""),
    ("PUT", "/config/log_level", b"zzz"),
    ("PUT", "/config/log_level", b"debug"),
    ("GET", "/config/log_level", b""),
    ("PUT", "/config/nsqlookupd_http_addresses", b"x"),
    ("PUT", "/config/nsqlookupd_http_addresses", b"[1]"),
    ("PUT", "/config/nsqlookupd_http_addresses", b'["127.0.0.1:1"]'),
    ("POST", "/config/log_level", b"info"),
    ("OPTIONS", "/config/log_level", b""),
]
RATES = [
    "",
    "?metric=rate",
    "?metric=x&target=t",
    "?target=t",
    "?metric=%zz",
    "?metric=rate&target=sumSeries(a.*)",
]
PLAIN = {"Accept-Encoding": "identity"}
"""What Go compresses has no content type."""
HEADERS = ("Content-Type", "X-Nsq-Content-Type", "Allow")


@contextmanager
def _original(*flags: str) -> Iterator[str]:
    """The URL of one that runs."""
    with start_tool(original("nsqadmin"), "--http-address=127.0.0.1:0", *flags) as process:
        process.wait_for_err("HTTP: listening on ")
        found = re.search(r"HTTP: listening on (\S+)", process.err)
        assert found is not None
        yield f"http://{found[1]}"
        assert process.stop() == 0


@asynccontextmanager
async def _both(world: World, *flags: str) -> AsyncIterator[list[Visitor]]:
    """The original and ours, with the same flags, before the same nsqlookupd with a nsqd that has topic t."""
    lookupd = await world.lookupd(await world.nsqd(topic("t")))
    all_flags = (f"--lookupd-http-address={lookupd.address}", *flags)
    given: dict[str, Any] = dict(COMMAND_LINE.parse(all_flags).options)
    async with AsyncExitStack() as stack:
        theirs = stack.enter_context(_original(*all_flags))
        yield [Visitor(world.http, theirs), await world.admin(lookupd, **given)]


async def test_config_answers_as_the_original(world: World) -> None:
    async with _both(world, *FLAGS) as both:
        for method, path, body in CONFIG:
            theirs, ours = [await one.ask(method, path, data=body, headers=PLAIN) for one in both]
            if theirs.status == 400 and theirs.json["message"] == "INVALID_OPTION" and ours.status == 200:
                assert "ours" in _kind(path.rpartition("/")[2]), path
                continue
            shown = [(a.status, a.text, *(a.headers.get(name) for name in HEADERS)) for a in (theirs, ours)]
            assert shown[0] == shown[1], f"{method} {path} {body!r}"


def _kind(key: str) -> str:
    """What the compatibility page says of a key."""
    page = (Path(__file__).parents[2] / "docs" / "compatibility.md").read_text("utf-8")
    section = page.partition("## nsqadmin: flags")[2].partition("\n## ")[0]
    return next(line.split("|")[3] for line in section.splitlines() if f"| `{key}` |" in line)


async def test_rates_are_asked_for_and_told_as_by_the_original(world: World) -> None:
    async with FakeGraphite() as graphite:
        graphite.body = b'[{"target":"x","datapoints":[[8219,1],[5,2]]}]'
        url = f"--graphite-url={graphite.origin}"
        async with _both(world, url, "--statsd-interval=1500ms") as both:
            for query in RATES:
                theirs, ours = [await one.get(f"/api/graphite{query}") for one in both]
                assert (theirs.status, theirs.text) == (ours.status, ours.text), query
        theirs_asked, ours_asked = graphite.requests
        assert dict(theirs_asked.query) == dict(ours_asked.query)
        assert theirs_asked.path == ours_asked.path == "/render"


CHANGES: list[tuple[str, str, Any]] = [
    ("POST", "/api/topics", {"topic": "n", "channel": "x"}),
    ("POST", "/api/topics/t", {"action": "pause"}),
    ("POST", "/api/topics/t", {"action": "unpause"}),
    ("POST", "/api/topics/t", {"action": "empty"}),
    ("DELETE", "/api/topics/t", None),
]


async def test_notifications_are_the_originals(world: World) -> None:
    headers = {"Authorization": "Basic Ym9iOng=", "User-Agent": "a <b> & é", "X-Scheme": "https"}
    told = []
    for one in range(2):
        async with Sink() as sink:
            async with _both(world, f"--notification-http-endpoint={sink.url}") as both:
                visitor = both[one]
                for number, (method, path, body) in enumerate(CHANGES, 1):
                    data = json.dumps(body).encode() if body else None
                    await visitor.ask(method, path, data=data, headers=headers)
                    await sink.wait(number + 1)  # the first makes two; the original keeps no order
            bodies = sink.bodies
            for body in bodies:
                assert body.pop("remote_ip").startswith("127.0.0.1:")
                assert isinstance(body.pop("timestamp"), int)
                body["url"] = body["url"].replace(visitor.base.partition("//")[2], "HOST")
            assert {request.headers["Content-Type"] for request in sink.requests} == {"application/json"}
            told.append(sorted(json.dumps(body) for body in bodies))
    assert told[0] == told[1]


async def test_an_original_nsqd_that_requires_tls_is_asked_as_the_original_asks_it(
    world: World, tmp_path: Path
) -> None:
    program = original("nsqd")
    authority = Authority(tmp_path)
    flags = ["--tcp-address=127.0.0.1:0", "--http-address=127.0.0.1:0", "--broadcast-address=127.0.0.1"]
    with start_tool(
        program, *flags, *authority.flags, "--tls-required=true", f"--data-path={tmp_path}"
    ) as nsqd:
        nsqd.wait_for_err("HTTPS: listening on ")
        nsqd.wait_for_err(" HTTP: listening on ")
        found = re.search(r" HTTP: listening on (\S+)", nsqd.err)
        assert found is not None
        admin = await world.admin(
            nsqd_http_addresses=[found[1]], http_client_tls_root_ca_file=str(tmp_path / "ca.pem")
        )
        assert (await admin.post("/api/topics", json={"topic": "t"})).status == 200
        assert (await admin.get("/api/topics")).json["topics"] == ["t"]
        assert nsqd.stop() == 0
