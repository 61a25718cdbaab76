"""Every endpoint, its bytes and its refusals, over a registry whose clock stands still."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from yarl import URL

from nsqcore.durations import NS_PER_S
from nsqcore.version import suite_version
from nsqlookupd.http_api import HttpApi
from nsqlookupd.peer import Peer
from nsqlookupd.registry import Client, Registry
from tests.support.api import serving


class Api:
    """A server and a client that sends paths as they are."""

    def __init__(self, registry: Registry, http: aiohttp.ClientSession, base: str) -> None:
        self.registry, self.http, self.base = registry, http, base
        self.now = 0

    async def ask(self, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
        url = URL(self.base + path, encoded=True)
        async with self.http.request(method, url, data=body, allow_redirects=False) as response:
            self.headers = response.headers
            return response.status, await response.read()

    async def get(self, path: str) -> Any:
        status, body = await self.ask("GET", path)
        assert status == 200
        return json.loads(body)

    def add(self, name: str, connection: int = 1) -> Client:
        return self.registry.add(
            Peer(
                remote_address=f"10.0.0.1:{connection}",
                hostname="h",
                broadcast_address=name,
                tcp_port=4150,
                http_port=4151,
                version="1.3.0",
                topology_zone="z",
                topology_region="r",
            )
        )


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    registry = Registry(inactive_after=300 * NS_PER_S, tombstone_for=45 * NS_PER_S, clock=lambda: made.now)
    async with serving(HttpApi(registry).routes()) as address, aiohttp.ClientSession() as http:
        made = Api(registry, http, f"http://{address}")
        yield made


PRODUCER = (
    b'{"remote_address":"10.0.0.1:1","hostname":"h","broadcast_address":"b","tcp_port":4150,'
    b'"http_port":4151,"version":"1.3.0","topology_zone":"z","topology_region":"r"'
)


async def test_ping_is_plain_text_without_the_apis_header(api: Api) -> None:
    assert await api.ask("GET", "/ping") == (200, b"OK")
    assert api.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert "X-Nsq-Content-Type" not in api.headers


async def test_info_has_the_originals_version_and_ours(api: Api) -> None:
    assert await api.ask("GET", "/info") == (
        200,
        b'{"version":"1.3.0","suite_version":"%b"}' % suite_version().encode(),
    )
    assert api.headers["Content-Type"] == "application/json; charset=utf-8"
    assert api.headers["X-Nsq-Content-Type"] == "nsq; version=1.0"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/topics", b'{"topics":[]}'),
        ("/channels?topic=t", b'{"channels":[]}'),
        ("/nodes", b'{"producers":[]}'),
        ("/debug", b"{}"),
    ],
)
async def test_an_empty_registry_answers_with_empty_lists(api: Api, path: str, body: bytes) -> None:
    assert await api.ask("GET", path) == (200, body)


async def test_a_registered_channel_is_in_every_answer(api: Api) -> None:
    client = api.add("b")
    api.registry.register(client, "t", "c")
    assert await api.ask("GET", "/topics") == (200, b'{"topics":["t"]}')
    assert await api.ask("GET", "/channels?topic=t") == (200, b'{"channels":["c"]}')
    assert await api.ask("GET", "/lookup?topic=t") == (
        200,
        b'{"channels":["c"],"producers":[' + PRODUCER + b"}]}",
    )
    assert await api.ask("GET", "/nodes") == (
        200,
        b'{"producers":[' + PRODUCER + b',"tombstones":[false],"topics":["t"]}]}',
    )


async def test_a_topic_without_producers_is_known(api: Api) -> None:
    api.registry.create_topic("t")
    assert await api.ask("GET", "/lookup?topic=t") == (200, b'{"channels":[],"producers":[]}')


async def test_debug_shows_everything_with_times_of_the_wall_clock(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.time_ns", lambda: 1_700_000_000_000_000_000)
    client = api.add("b")
    api.registry.register(client, "t", "c")
    api.now = 10 * NS_PER_S
    api.registry.tombstone("t", "b:4151")
    api.now = 1_000 * NS_PER_S
    shown = (
        '{"broadcast_address":"b","hostname":"h","http_port":4151,"id":"10.0.0.1:1",'
        '"last_update":1699999000000000000,"tcp_port":4150,"tombstoned":%s,"tombstoned_at":%d,'
        '"topology_region":"r","topology_zone":"z","version":"1.3.0"}'
    )
    never = shown % ("false", -6795364578871345152)
    buried = shown % ("true", 1_699_999_010_000_000_000)
    assert (await api.ask("GET", "/debug"))[1].decode() == (
        f'{{"channel:t:c":[{never}],"client::":[{never}],"topic:t:":[{buried}]}}'
    )


async def test_silence_and_tombstones_show_as_they_do_in_the_original(api: Api) -> None:
    a, b = api.add("a", 1), api.add("b", 2)
    for client in (a, b):
        api.registry.register(client, "t", "c")
    assert await api.ask("POST", "/topic/tombstone?topic=t&node=a:4151") == (200, b"")
    api.now = 45 * NS_PER_S - 1
    assert [p["broadcast_address"] for p in (await api.get("/lookup?topic=t"))["producers"]] == ["b"]
    assert [p["tombstones"] for p in (await api.get("/nodes"))["producers"]] == [[True], [False]]
    api.now += 1
    assert [p["broadcast_address"] for p in (await api.get("/lookup?topic=t"))["producers"]] == ["a", "b"]
    api.registry.ping(b)
    api.now = 300 * NS_PER_S + 1
    assert [p["broadcast_address"] for p in (await api.get("/lookup?topic=t"))["producers"]] == ["b"]
    assert [p["broadcast_address"] for p in (await api.get("/nodes"))["producers"]] == ["b"]
    assert (await api.get("/topics"))["topics"] == ["t"]
    assert len((await api.get("/debug"))["topic:t:"]) == 2


async def test_creating_and_deleting_over_http(api: Api) -> None:
    for path in ("/topic/create?topic=s", "/channel/create?topic=t&channel=c"):
        assert await api.ask("POST", path) == (200, b"")
        assert "Content-Type" not in api.headers
        assert api.headers["X-Nsq-Content-Type"] == "nsq; version=1.0"
    assert await api.get("/topics") == {"topics": ["s", "t"]}
    assert await api.get("/channels?topic=t") == {"channels": ["c"]}
    assert await api.ask("POST", "/channel/delete?topic=t&channel=c") == (200, b"")
    assert await api.get("/channels?topic=t") == {"channels": []}
    assert await api.ask("POST", "/topic/delete?topic=t") == (200, b"")
    assert await api.get("/topics") == {"topics": ["s"]}


async def test_ephemeral_names_can_be_asked_for(api: Api) -> None:
    await api.ask("POST", "/channel/create?topic=t%23ephemeral&channel=c%23ephemeral")
    assert await api.get("/channels?topic=t%23ephemeral") == {"channels": ["c#ephemeral"]}


REFUSALS = [
    ("GET", "/channels", 400, "MISSING_ARG_TOPIC"),
    ("GET", "/lookup", 400, "MISSING_ARG_TOPIC"),
    ("GET", "/lookup?topic=unknown", 404, "TOPIC_NOT_FOUND"),
    ("GET", "/lookup?topic=*", 404, "TOPIC_NOT_FOUND"),
    ("GET", "/lookup?topic=%zz", 400, "INVALID_REQUEST"),
    ("POST", "/topic/create", 400, "MISSING_ARG_TOPIC"),
    ("POST", "/topic/create?topic=bad$", 400, "INVALID_ARG_TOPIC"),
    ("POST", "/topic/create?topic=*", 400, "INVALID_ARG_TOPIC"),
    ("POST", "/topic/create?topic=" + "x" * 65, 400, "INVALID_ARG_TOPIC"),
    ("POST", "/topic/delete", 400, "MISSING_ARG_TOPIC"),
    ("POST", "/channel/create", 400, "MISSING_ARG_TOPIC"),
    ("POST", "/channel/create?channel=bad$", 400, "MISSING_ARG_TOPIC"),
    ("POST", "/channel/create?topic=bad$", 400, "INVALID_ARG_TOPIC"),
    ("POST", "/channel/create?topic=t", 400, "MISSING_ARG_CHANNEL"),
    ("POST", "/channel/create?topic=t&channel=bad$", 400, "INVALID_ARG_CHANNEL"),
    ("POST", "/channel/delete", 400, "MISSING_ARG_TOPIC"),
    ("POST", "/channel/delete?topic=bad$", 400, "INVALID_ARG_TOPIC"),
    ("POST", "/channel/delete?topic=t", 400, "MISSING_ARG_CHANNEL"),
    ("POST", "/channel/delete?topic=t&channel=bad$", 400, "INVALID_ARG_CHANNEL"),
    ("POST", "/channel/delete?topic=t&channel=unknown", 404, "CHANNEL_NOT_FOUND"),
    ("POST", "/topic/tombstone", 400, "MISSING_ARG_TOPIC"),
    ("POST", "/topic/tombstone?node=a:1", 400, "MISSING_ARG_TOPIC"),
    ("POST", "/topic/tombstone?topic=t", 400, "MISSING_ARG_NODE"),
    ("POST", "/topic/create?topic=t;", 400, "INVALID_REQUEST"),
    ("GET", "/stats", 404, "NOT_FOUND"),
    ("GET", "/debug/pprof", 404, "NOT_FOUND"),
    ("GET", "/topic/create?topic=t", 405, "METHOD_NOT_ALLOWED"),
    ("POST", "/lookup?topic=t", 405, "METHOD_NOT_ALLOWED"),
]


@pytest.mark.parametrize(("method", "path", "status", "code"), REFUSALS)
async def test_a_refusal_has_its_status_and_code_and_changes_nothing(
    api: Api, method: str, path: str, status: int, code: str
) -> None:
    api.registry.register(api.add("b"), "t", "c")
    before = api.registry.dump()
    assert await api.ask(method, path) == (status, b'{"message":"%b"}' % code.encode())
    assert api.headers["Content-Type"] == "application/json; charset=utf-8"
    assert (api.registry.dump(), api.registry.topics()) == (before, ["t"])


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/topic/delete?topic=unknown"),
        ("POST", "/topic/delete?topic=bad$"),
        ("POST", "/topic/delete?topic=*"),
        ("POST", "/topic/tombstone?topic=t&node=elsewhere:1"),
        ("POST", "/topic/tombstone?topic=*&node=b:4151"),
        ("POST", "/topic/tombstone?topic=t&node=*"),
        ("POST", "/topic/create?topic=t"),
        ("POST", "/channel/create?topic=t&channel=c"),
    ],
)
async def test_what_matches_nothing_or_is_there_already_is_well_and_changes_nothing(
    api: Api, method: str, path: str
) -> None:
    api.registry.register(api.add("b"), "t", "c")
    before = api.registry.dump()
    assert await api.ask(method, path) == (200, b"")
    assert (api.registry.dump(), api.registry.topics()) == (before, ["t"])


@pytest.mark.parametrize("path", ["/topics?%zz", "/nodes?a=%", "/debug?;", "/info?%", "/ping?%"])
async def test_endpoints_without_parameters_do_not_look_at_the_query(api: Api, path: str) -> None:
    assert (await api.ask("GET", path))[0] == 200


async def test_parameters_in_a_body_do_not_count(api: Api) -> None:
    assert (await api.ask("POST", "/topic/create", b"topic=t"))[0] == 400
    assert await api.ask("POST", "/topic/create?topic=u", b"topic=t") == (200, b"")
    assert api.registry.topics() == ["u"]


async def test_changes_are_logged_in_the_originals_words(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    for path in (
        "/topic/create?topic=s",
        "/channel/create?topic=t&channel=c",
        "/channel/create?topic=t&channel=d",
        "/topic/tombstone?topic=t&node=b:4151",
        "/channel/delete?topic=t&channel=c",
        "/topic/delete?topic=t",
        "/topic/delete?topic=unknown",
    ):
        await api.ask("POST", path)
    assert [text for text in caplog.messages if text.startswith("DB:")] == [
        "DB: adding topic(s)",
        "DB: adding channel(c) in topic(t)",
        "DB: adding topic(t)",
        "DB: adding channel(d) in topic(t)",
        "DB: adding topic(t)",
        "DB: setting tombstone for producer@b:4151 of topic(t)",
        "DB: removing channel(c) from topic(t)",
        "DB: removing channel(d) from topic(t)",
        "DB: removing topic(t)",
    ]
