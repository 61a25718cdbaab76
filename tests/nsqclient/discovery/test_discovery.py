from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from nsqclient import ConfigError, FoundNode, Lookup, Tls
from nsqclient.discovery import discovery as discovery_module
from nsqclient.discovery.discovery import Discovery
from nsqclient.testing import Clock
from tests.support.fake_lookupd import FakeLookupd
from tests.support.tls import Authority


class Polling:
    """A discovery that runs, and all it found."""

    def __init__(self, topic: str | None, *urls: str, **settings: Any) -> None:
        self.found: list[tuple[list[str], bool]] = []
        self.news = asyncio.Condition()
        self.discovery = Discovery(
            Lookup(*urls, **settings),
            topic,
            lambda named, complete: self.note(sorted(named), complete),
            lambda: 0.0,
        )

    def note(self, named: list[str], complete: bool) -> None:
        self.found.append((named, complete))
        asyncio.get_running_loop().create_task(self.tell())

    async def tell(self) -> None:
        async with self.news:
            self.news.notify_all()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(5), self.news:
            await self.news.wait_for(condition)

    async def polled(self) -> None:
        async with asyncio.timeout(5):
            await self.discovery.polled.wait()


@asynccontextmanager
async def polling(topic: str | None, *urls: str, **settings: Any) -> AsyncIterator[Polling]:
    it = Polling(topic, *urls, **settings)
    task = asyncio.create_task(it.discovery.run())
    try:
        yield it
    finally:
        task.cancel()
        await asyncio.wait([task])


async def test_all_are_asked_and_their_answers_merged() -> None:
    async with FakeLookupd() as one, FakeLookupd() as two:
        one.topics = {"t": ["a:1", "b:2"], "other": ["x:1"]}
        two.topics = {"t": ["b:2", "c:3"]}
        async with polling("t", one.url, two.url) as it:
            await it.polled()
        assert it.found[-1] == (["a:1", "b:2", "c:3"], True)
        assert it.found[0][1] is False
        assert one.requests == two.requests == ["/lookup?topic=t"]


async def test_without_a_topic_all_nsqds_are_asked_for() -> None:
    async with FakeLookupd() as lookupd:
        lookupd.nodes = ["a:1", "::1:2"]
        async with polling(None, lookupd.url + "/lookup?x=1") as it:
            await it.polled()
        assert it.found == [(["[::1]:2", "a:1"], True)]
        assert lookupd.requests == ["/nodes?x=1"]


async def test_a_query_in_the_url_is_kept() -> None:
    async with FakeLookupd() as lookupd:
        lookupd.topics = {"t": []}
        async with polling("t", lookupd.url + "/x?key=v") as it:
            await it.polled()
        assert lookupd.requests == ["/x?key=v&topic=t"]


async def test_an_unknown_topic_is_an_answer_and_said_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="nsqclient")
    async with FakeLookupd() as lookupd:
        async with polling("t", lookupd.url, poll_interval=0.01) as it:
            await lookupd.asked(3)
        assert it.found[:2] == [([], True), ([], True)]
    assert [(r.levelname, r.getMessage()) for r in caplog.records if r.name.startswith("nsqclient")] == [
        ("INFO", f"nsqlookupd {lookupd.url}/lookup does not know topic t yet")
    ]


@pytest.mark.parametrize("wrapped", [True, False])
async def test_old_and_new_answers_are_read(wrapped: bool) -> None:
    async with FakeLookupd() as lookupd:
        lookupd.wrapped = wrapped
        lookupd.topics = {"t": ["a:1"]}
        async with polling("t", lookupd.url) as it:
            await it.polled()
        assert it.found == [(["a:1"], True)]


@pytest.mark.parametrize("broken", ["status", "text", "json", "nobody"])
async def test_one_that_fails_makes_the_answer_incomplete(
    broken: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with FakeLookupd() as good, FakeLookupd() as bad:
        good.topics = {"t": ["a:1"]}
        url = bad.url
        if broken == "status":
            bad.status = 500
        elif broken == "text":
            bad.text = "not json"
        elif broken == "json":
            bad.text = '{"producers": [{"hostname": "x"}]}'
        else:
            await bad._runner.cleanup()
        async with polling("t", good.url, url, poll_interval=0.01) as it:
            await good.asked(3)
        assert {found == (["a:1"], False) for found in it.found} == {True}
    warnings = [r for r in caplog.records if r.levelname == "WARNING" and "does not answer" in r.getMessage()]
    assert len(warnings) == 1, "said once, not at every poll"


async def test_while_nothing_is_known_polls_are_close_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discovery_module, "SHORTEST_INTERVAL", 0.01)
    async with FakeLookupd() as lookupd, polling("t", lookupd.url) as it:
        await lookupd.asked(4)  # 60 s apart they would be too late
        lookupd.topics = {"t": ["a:1"]}
        await it.until(lambda: it.found[-1] == (["a:1"], True))
        asked = len(lookupd.requests)
        await asyncio.sleep(0.1)
        assert len(lookupd.requests) == asked


async def test_a_slow_one_does_not_delay_the_answers_of_others() -> None:
    async with FakeLookupd() as quick, FakeLookupd() as slow:
        quick.topics = {"t": ["a:1"]}
        slow.topics = {"t": ["b:1"]}
        slow.let_through.clear()
        async with polling("t", quick.url, slow.url) as it:
            await it.until(lambda: it.found == [(["a:1"], False)])
            assert not it.discovery.polled.is_set()
            slow.let_through.set()
            await it.until(lambda: it.found[-1] == (["a:1", "b:1"], True))


async def test_when_nobody_answers_nothing_is_found() -> None:
    async with FakeLookupd() as lookupd:
        lookupd.status = 500
        async with polling("t", lookupd.url) as it:
            await it.polled()
        assert it.found == []


async def test_recovery_is_said(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="nsqclient")
    async with FakeLookupd() as lookupd:
        lookupd.topics = {"t": ["a:1"]}
        lookupd.status = 500
        async with polling("t", lookupd.url, poll_interval=0.01) as it:
            await it.polled()
            lookupd.status = 200
            await it.until(lambda: bool(it.found))
    assert "answers again" in caplog.text


async def test_polls_repeat_and_can_be_hastened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discovery_module, "SHORTEST_INTERVAL", 0.01)
    async with FakeLookupd() as lookupd, polling("t", lookupd.url, poll_interval=3600) as it:
        await it.polled()
        it.discovery.poll_soon()
        await lookupd.asked(2)


async def test_polls_come_at_random_times_before_their_interval_is_over() -> None:
    for chance, interval in ((0.0, 100.0), (1.0, 70.0), (0.5, 85.0)):
        async with FakeLookupd() as lookupd, Clock() as clock:
            lookupd.topics = {"t": ["a:1"]}
            it = Discovery(Lookup(lookupd.url, poll_interval=100), "t", lambda *_: None, lambda: chance)  # noqa: B023
            polls = asyncio.create_task(it.run())
            await lookupd.asked(1)
            await clock.advance(interval - 0.5)
            assert len(lookupd.requests) == 1
            await clock.advance(1)
            assert len(lookupd.requests) == 2
            polls.cancel()
            await asyncio.wait([polls])


async def test_hastened_polls_keep_a_distance(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discovery_module, "SHORTEST_INTERVAL", 0.2)
    async with FakeLookupd() as lookupd, polling("t", lookupd.url, poll_interval=3600) as it:
        await it.polled()
        before = asyncio.get_running_loop().time()
        for _ in range(5):
            it.discovery.poll_soon()
        await lookupd.asked(2)
        assert asyncio.get_running_loop().time() - before > 0.15
        assert len(lookupd.requests) == 2


# ---- one after the other


async def test_one_is_asked_at_a_time_and_each_in_turn() -> None:
    async with FakeLookupd() as a, FakeLookupd() as b:
        a.topics = b.topics = {"t": ["n:1"]}
        async with polling("t", a.url, b.url, ask="one", poll_interval=0.01) as it:
            await b.asked(2)
        assert len(a.requests) - len(b.requests) in (0, 1)
        assert set(map(str, it.found)) == {str((["n:1"], False))}, "another may know more"


@pytest.mark.parametrize("state", ["broken", "absent"])
async def test_the_next_is_asked_at_once_when_one_is_of_no_use(state: str) -> None:
    async with FakeLookupd() as bad, FakeLookupd() as good:
        if state == "broken":
            bad.status = 500
        good.topics = {"t": ["n:1"]}
        async with polling("t", bad.url, good.url, ask="one") as it:
            await it.polled()
            assert it.found == [(["n:1"], False)]


async def test_three_are_asked_at_most() -> None:
    urls = []
    async with FakeLookupd() as bad:
        bad.status = 500
        urls = [f"{bad.url}/{n}/lookup" for n in range(5)]
        async with polling("t", *urls, ask="one") as it:
            await it.polled()
            assert it.found == []
            assert bad.requests == [f"/{n}/lookup?topic=t" for n in range(3)]


async def test_the_only_one_knows_them_all() -> None:
    async with FakeLookupd() as only:
        only.topics = {"t": ["n:1"]}
        async with polling("t", only.url, ask="one") as it:
            await it.polled()
            assert it.found == [(["n:1"], True)]


# ---- secrets and https


async def test_the_secret_is_sent_as_bearer_and_read_for_each_poll() -> None:
    secrets = iter(["one", "two", "three"])
    async with FakeLookupd() as lookupd:
        async with polling(None, lookupd.url, auth=lambda: next(secrets), poll_interval=0.01):
            await lookupd.asked(2)
        assert [h["authorization"] for h in lookupd.headers[:2]] == ["Bearer one", "Bearer two"]
        assert lookupd.headers[0]["accept"] == "application/vnd.nsq; version=1.0"


async def test_without_a_secret_nothing_is_sent_of_it() -> None:
    async with FakeLookupd() as lookupd:
        async with polling(None, lookupd.url) as it:
            await it.polled()
        assert "authorization" not in lookupd.headers[0]


async def test_a_secret_that_can_not_be_had_costs_the_poll(caplog: pytest.LogCaptureFixture) -> None:
    async with FakeLookupd() as lookupd:

        def broken() -> str:
            raise OSError("hush")

        async with polling(None, lookupd.url, auth=broken) as it:
            await it.polled()
        assert lookupd.requests == []
        assert it.found == []
    assert "raised OSError" in caplog.text
    assert "hush" not in caplog.text


async def test_nsqlookupds_over_https_are_verified(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    authority = Authority(tmp_path)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.server.configure_cert(server)
    async with FakeLookupd(server) as lookupd:
        lookupd.nodes = ["a:1"]
        async with polling(None, lookupd.url, tls=Tls(ca=tmp_path / "ca.pem"), auth="s") as it:
            await it.polled()
            assert it.found == [(["a:1"], True)]
        async with polling(None, lookupd.url, auth="s") as it:
            await it.polled()
            assert it.found == []
        async with polling(None, lookupd.url, tls=Tls(ca=tmp_path / "missing.pem")) as it:
            await it.polled()
            assert it.found == []
        assert len(lookupd.requests) == 1
    assert "certificate verify failed" in caplog.text
    assert "missing.pem: No such file" in caplog.text


def test_tls_for_plain_http_is_refused() -> None:
    with pytest.raises(ConfigError, match="not https"):
        Lookup("https://a:1", "http://b:1", tls=Tls())


@pytest.mark.parametrize("settings", [{"ask": "some"}, {"auth": ""}, {"auth": 7}])
def test_settings_that_make_no_sense_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        Lookup("a:1", **settings)


def test_a_secret_in_a_url_is_refused_and_not_repeated() -> None:
    for url in ("http://u:hush@a:1", "http://u:hush@a", "u:hush@a:1"):
        with pytest.raises(ConfigError) as caught:
            Lookup(url)
        assert "hush" not in str(caught.value)


# ---- filter and details


async def test_a_filter_chooses_among_what_all_have_found() -> None:
    seen: list[list[str]] = []

    def near(nodes: Sequence[FoundNode]) -> list[FoundNode]:
        seen.append(sorted(node.address for node in nodes))
        return [node for node in nodes if node.zone == "here"]

    async with FakeLookupd() as one, FakeLookupd() as two:
        one.nodes, two.nodes = ["a:1"], ["b:2"]
        one.tells = {"a:1": {"topology_zone": "here"}}
        async with polling(None, one.url, two.url, discovery_filter=near) as it:
            await it.polled()
            assert it.found[-1] == (["a:1"], True)
            assert seen[-1] == ["a:1", "b:2"]
            assert set(it.discovery.nodes) == {"a:1"}


async def test_a_filter_that_fails_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async with FakeLookupd() as lookupd:
        lookupd.nodes = ["a:1"]
        async with polling(None, lookupd.url, discovery_filter=lambda nodes: 1 // 0) as it:
            await it.polled()
            assert it.found == []
    assert "ZeroDivisionError" in caplog.text


async def test_details_are_kept_until_all_have_forgotten() -> None:
    async with FakeLookupd() as one, FakeLookupd() as two:
        one.nodes, two.nodes = ["a:1"], ["a:1", "b:2"]
        one.tells = {"a:1": {"topics": ["t", "u"], "tombstones": [True, False]}}
        async with polling(None, one.url, two.url, poll_interval=0.01) as it:
            await it.polled()
            assert it.discovery.nodes["a:1"].tombstones == {"t"}
            assert it.discovery.nodes["a:1"].topics == {"t", "u"}
            two.status = 500
            two.nodes = ["a:1"]
            before = len(two.requests)
            await two.asked(before + 2)
            assert set(it.discovery.nodes) == {"a:1", "b:2"}
            two.status = 200
            await it.until(lambda: set(it.discovery.nodes) == {"a:1"})


# ---- lies


async def test_entries_that_make_no_sense_do_not_stand_for_the_others(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with FakeLookupd() as lookupd:
        lookupd.nodes = ["a:1", "b:0"]
        async with polling(None, lookupd.url, poll_interval=0.01) as it:
            await lookupd.asked(4)
            assert set(map(str, it.found)) == {str((["a:1"], False))}
    assert caplog.text.count("names 1 nsqds that make no sense") == 1


@pytest.mark.parametrize("text", ["[" * 100_000, '{"producers": ' + "[" * 100_000, "x" * 3_000_000, "\0"])
async def test_garbage_is_survived(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discovery_module, "MOST_BYTES", 1_000_000)
    async with FakeLookupd() as liar, FakeLookupd() as honest:
        liar.text = text
        honest.nodes = ["a:1"]
        async with polling(None, liar.url, honest.url) as it:
            await it.polled()
            assert it.found == [(["a:1"], False)]


@pytest.mark.parametrize("text", ['{"https_port": 1e999}', '{"https_port": -1}', "[" * 100_000])
async def test_refusals_that_make_no_sense_are_survived(text: str) -> None:
    async def refuse(_: web.Request) -> web.Response:
        return web.Response(text=text, status=403)

    app = web.Application()
    app.router.add_get("/nodes", refuse)
    async with TestServer(app) as liar, FakeLookupd() as honest:
        honest.nodes = ["a:1"]
        async with polling(None, str(liar.make_url("/")), honest.url) as it:
            await it.polled()
            assert it.found == [(["a:1"], False)]


async def test_what_is_remembered_of_one_that_lies_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discovery_module, "MOST_KNOWN", 5)
    monkeypatch.setattr(discovery_module, "SHORTEST_INTERVAL", 0)
    async with FakeLookupd() as liar, FakeLookupd() as broken:
        broken.status = 500
        async with polling(None, liar.url, broken.url, poll_interval=0.01) as it:
            for n in range(1, 20, 2):
                liar.nodes = [f"a:{n}", f"a:{n + 1}"]
                await it.until(lambda n=n: f"a:{n}" in it.discovery.nodes)  # type: ignore[misc]
                assert len(it.discovery.nodes) <= 5


async def test_one_that_trickles_is_given_up_in_time() -> None:
    gone = asyncio.Event()

    async def trickle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
            while not writer.is_closing():
                writer.write(b" ")
                await writer.drain()
                await asyncio.sleep(0.01)
        writer.close()
        gone.set()

    server = await asyncio.start_server(trickle, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, FakeLookupd() as honest:
        honest.nodes = ["a:1"]
        async with polling(None, f"http://127.0.0.1:{port}", honest.url, request_timeout=0.2) as it:
            await it.polled()
            assert it.found == [(["a:1"], False)]
        async with asyncio.timeout(5):
            await gone.wait()
