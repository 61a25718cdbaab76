"""nsqadmin between browsers and a graphite: rates, pictures, and what must not pass."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from nsqadmin.graphite import client
from nsqcore.durations import Duration
from tests.nsqadmin.world import Answer, World
from tests.support.fake_cluster import channel, latency, topic
from tests.support.graphite import FakeGraphite
from tests.support.sink import Sink

PNG = b"(a picture)"
RATE = "/api/graphite?metric=rate&target=sumSeries(a.*)"


@pytest.fixture
async def graphite() -> AsyncIterator[FakeGraphite]:
    async with FakeGraphite() as fake:
        fake.body = PNG
        yield fake


async def refused(answer: Answer, status: int, text: str) -> None:
    assert answer.status == status
    assert answer.json["message"].startswith(text)


# -- rates -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "rate"),
    [
        ('[{"target":"x","datapoints":[[8219,1],[5,2]]}]', "136.98"),
        ('[{"target":"x","datapoints":[[0,1]]}]', "0.00"),
        ('[{"target":"x","datapoints":[[null,1]]}]', "N/A"),
        ('[{"target":"x","datapoints":[[-4,1]]}]', "N/A"),
        ('[{"target":"x","datapoints":[[1e400,1]]}]', "N/A"),
        ('[{"target":"x","datapoints":[["7",1]]}]', "N/A"),
        ('[{"target":"x","datapoints":[]}]', "N/A"),
        ("[]", "N/A"),
    ],
)
async def test_a_rate_is_the_first_value_over_the_interval(
    world: World, graphite: FakeGraphite, data: str, rate: str
) -> None:
    graphite.body, graphite.kind = data.encode(), "application/json"
    admin = await world.admin(await world.lookupd(), graphite_url=graphite.url)
    answer = await admin.get(RATE)
    assert (answer.status, answer.json) == (200, {"rate": rate})


async def test_a_rate_is_asked_for_the_last_whole_interval(world: World, graphite: FakeGraphite) -> None:
    graphite.body = b"[]"
    admin = await world.admin(
        await world.lookupd(), graphite_url=graphite.url, statsd_interval=Duration.parse("1500ms")
    )
    await admin.get(RATE)
    (asked,) = graphite.requests
    assert asked.path == "/base/render"
    assert dict(asked.query) == {
        "target": "sumSeries(a.*)",
        "from": "-3sec",
        "until": "-1sec",
        "format": "json",
    }
    assert asked.headers["Authorization"] == "Basic Ym9iOnNAY3JpdA=="


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("", "INVALID_ARG_METRIC"),
        ("target=t", "INVALID_ARG_METRIC"),
        ("metric=x&target=t", "INVALID_ARG_METRIC"),
        ("metric=rate", "INVALID_ARG_TARGET"),
        ("metric=%zz", "INVALID_REQUEST"),
    ],
)
async def test_a_rate_needs_its_parameters(world: World, query: str, code: str) -> None:
    admin = await world.admin(await world.lookupd())
    await refused(await admin.get(f"/api/graphite?{query}"), 400, code)


async def test_without_graphite_there_is_no_rate(world: World) -> None:
    admin = await world.admin(await world.lookupd())
    await refused(await admin.get(RATE), 502, "UPSTREAM_ERROR: nsqadmin was given no --graphite-url")


@pytest.mark.parametrize("data", [b"nope", b"{}", b"[[]]", b'[{"datapoints":[1]}]', b"[" * 90_000, b"7"])
async def test_garbage_is_no_rate(world: World, graphite: FakeGraphite, data: bytes) -> None:
    graphite.body = data
    admin = await world.admin(await world.lookupd(), graphite_url=graphite.url)
    await refused(await admin.get(RATE), 502, "UPSTREAM_ERROR: graphite: the answer makes no sense")


# -- pictures by way of nsqadmin -------------------------------------------------------------------


@pytest.mark.parametrize("base_path", ["", "/nsq"])
async def test_pictures_are_passed_on_from_the_one_graphite(
    world: World, graphite: FakeGraphite, base_path: str
) -> None:
    admin = await world.admin(
        await world.lookupd(), graphite_url=graphite.url, proxy_graphite=True, base_path=base_path or "/"
    )
    headers = {"Cookie": "a=b", "X-Forwarded-User": "ann", "Authorization": "Basic x", "Accept": "*/*"}
    query = "?target=sumSeries(a.*)&target=%2A&x=%zz&from=-2h"
    async with admin.http.get(admin.base + base_path + "/render", headers=headers) as answer:
        assert (answer.status, await answer.read()) == (200, PNG)
        assert answer.headers["Content-Type"] == "image/png"
        assert "sandbox" in answer.headers["Content-Security-Policy"]
    assert (await admin.get(base_path + "/render" + query)).status == 200
    asked = graphite.requests[1]
    assert asked.raw_path == "/base/render" + query, "as it came"
    for request in graphite.requests:
        assert request.host == urlsplit(graphite.origin).netloc
        assert request.headers["Authorization"] == "Basic Ym9iOnNAY3JpdA=="
        assert not {"Cookie", "X-Forwarded-User", "X-Forwarded-For"} & set(request.headers)


async def test_only_reading_render_is_passed_on(world: World, graphite: FakeGraphite) -> None:
    admin = await world.admin(await world.lookupd(), graphite_url=graphite.url, proxy_graphite=True)
    await refused(await admin.post("/render", data=b"target=x"), 405, "METHOD_NOT_ALLOWED")
    for path in ("/render/../x", "/render/x", "/metrics", "//evil.example/render", "/render%2f..%2fx"):
        assert (await admin.get(path)).status in (301, 404), path
    assert graphite.requests == []


async def test_nobody_is_proxied_to_without_being_told_to(world: World, graphite: FakeGraphite) -> None:
    for options in ({"graphite_url": graphite.url}, {"proxy_graphite": True}):
        admin = await world.admin(await world.lookupd(), **options)
        assert (await admin.get("/render?target=x")).status == 404
    assert graphite.requests == []


@pytest.mark.parametrize("kind", ["text/html", "text/javascript", "image/svg+xml", "application/pdf", ""])
async def test_what_could_run_in_a_browser_does_not_pass(
    world: World, graphite: FakeGraphite, kind: str
) -> None:
    graphite.body, graphite.kind = b"alert(1)", kind or "x"
    admin = await world.admin(await world.lookupd(), graphite_url=graphite.url, proxy_graphite=True)
    answer = await admin.get("/render?format=json&jsonp=alert")
    await refused(answer, 502, "UPSTREAM_ERROR: graphite answered ")
    assert "alert(1)" not in answer.text


@pytest.mark.parametrize("status", [301, 404, 500])
async def test_refusals_and_redirects_of_graphite_are_told_and_not_followed(
    world: World, graphite: FakeGraphite, status: int
) -> None:
    graphite.status = status
    admin = await world.admin(await world.lookupd(), graphite_url=graphite.url, proxy_graphite=True)
    answer = await admin.get("/render?target=x")
    await refused(answer, 502, f"UPSTREAM_ERROR: graphite: got response {status}")
    assert "crit" not in answer.text


async def test_too_much_is_cut_off(
    world: World, graphite: FakeGraphite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "LARGEST_ANSWER", 1000)
    graphite.body = b"x" * 1001
    admin = await world.admin(await world.lookupd(), graphite_url=graphite.url, proxy_graphite=True)
    await refused(await admin.get("/render"), 502, "UPSTREAM_ERROR: graphite: the answer exceeds 1000 bytes")
    long = "a" * (client.LONGEST_QUERY + 1)
    await refused(await admin.get(f"/render?{long}"), 414, "QUERY_TOO_LONG: 32768 characters at most")


# -- pages -----------------------------------------------------------------------------------------


def pictures(answer: Answer) -> list[str]:
    return [value for name, value in answer.page.attributes if name == "src" and "/render?" in value]


async def _cluster(world: World, **options: Any) -> Any:
    parts = topic("t", channel("c", e2e_processing_latency=latency(5, p99=2e6)))
    nsqd = await world.nsqd(parts)
    return await world.admin(await world.lookupd(nsqd), **options), nsqd


async def test_pages_show_pictures_straight_from_graphite_without_its_secret(
    world: World, graphite: FakeGraphite, caplog: pytest.LogCaptureFixture
) -> None:
    admin, nsqd = await _cluster(world, graphite_url=graphite.url)
    assert "browsers are not told the user of --graphite-url" in caplog.text
    for path, count in [("/", 1), ("/topics/t", 2), ("/topics/t/c", 8), (f"/nodes/{nsqd.name}", 4)]:
        answer = await admin.get(path)
        shown = pictures(answer)
        assert len(shown) == count, path
        assert all(src.startswith(f"{graphite.origin}/base/render?") for src in shown)
        assert "crit" not in answer.text
        assert f"img-src 'self' {graphite.origin};" in answer.headers["Content-Security-Policy"]
    query = parse_qs(urlsplit(pictures(await admin.get("/topics/t"))[0]).query)
    assert query["target"] == ['summarize(sumSeries(stats.gauges.nsq.*.topic.t.depth),"60sec","avg")']
    assert (query["from"], query["until"], query["colorList"]) == (["-2h"], ["-1min"], ["red"])


async def test_topics_and_channels_have_pictures_of_each_node_too(
    world: World, graphite: FakeGraphite
) -> None:
    nsqds = [await world.nsqd(topic("t", channel("c"))) for _ in range(3)]
    admin = await world.admin(await world.lookupd(*nsqds), graphite_url=graphite.url)
    for path, kinds in [("/topics/t", 2), ("/topics/t/c", 7)]:
        shown = pictures(await admin.get(path))
        assert len(shown) == 4 * kinds
        for nsqd in nsqds:
            host = nsqd.name.replace(".", "_").replace(":", "_")
            assert sum(f".{host}.topic.t." in src for src in shown) == kinds


async def test_of_many_nodes_there_are_no_pictures_one_by_one(world: World, graphite: FakeGraphite) -> None:
    nsqds = [await world.nsqd(topic("t")) for _ in range(21)]
    admin = await world.admin(await world.lookupd(*nsqds), graphite_url=graphite.url)
    assert len(pictures(await admin.get("/topics/t"))) == 2


async def test_pages_show_pictures_by_way_of_nsqadmin_below_the_base_path(
    world: World, graphite: FakeGraphite
) -> None:
    admin, _ = await _cluster(world, graphite_url=graphite.url, proxy_graphite=True, base_path="/nsq")
    answer = await admin.get("/nsq/topics/t")
    assert len(pictures(answer)) == 2
    for src in pictures(answer):
        assert src.startswith("/nsq/render?")
        assert (await admin.get(src)).headers["Content-Type"] == "image/png"
    assert "img-src 'self';" in answer.headers["Content-Security-Policy"]
    assert graphite.origin not in answer.text


async def test_a_page_without_graphite_speaks_of_none(world: World) -> None:
    admin, _ = await _cluster(world)
    answer = await admin.get("/topics/t?t=12h")
    assert "Graphite" not in answer.page.headings
    assert answer.cookies == {}


async def test_the_period_is_chosen_by_the_address_and_kept(world: World, graphite: FakeGraphite) -> None:
    admin, _ = await _cluster(world, graphite_url=graphite.url)
    first = await admin.get("/topics/t?x=1&t=12h")
    assert "from=-12h" in pictures(first)[0]
    assert first.cookies == {"nsqadmin_graphs": "12h"}
    links = [
        value for name, value in first.page.attributes if name == "href" and "t=" in value and "x=1" in value
    ]
    assert links == [
        f"?x=1&t={period}#graphite" for period in ("1h", "2h", "12h", "24h", "48h", "168h", "off")
    ]
    later = await admin.get("/topics/t/c", cookies=first.cookies)
    assert "from=-12h" in pictures(later)[0]
    assert later.cookies == {}, "it need not be said again"
    off = await admin.get("/topics/t?t=off", cookies=first.cookies)
    assert pictures(off) == []
    assert off.cookies == {"nsqadmin_graphs": "off"}


@pytest.mark.parametrize("period", ["3h", "-2h", "", "2h&from=x", "<b>"])
async def test_other_periods_are_as_if_there_were_none(
    world: World, graphite: FakeGraphite, period: str
) -> None:
    admin, _ = await _cluster(world, graphite_url=graphite.url)
    answer = await admin.get("/topics/t", params={"t": period}, cookies={"nsqadmin_graphs": period})
    assert "from=-2h" in pictures(answer)[0]
    assert answer.cookies == {}


async def test_a_graphite_that_is_away_breaks_no_page(world: World) -> None:
    admin, _ = await _cluster(world, graphite_url="http://127.0.0.1:1", proxy_graphite=True)
    answer = await admin.get("/topics/t")
    assert answer.status == 200
    await refused(await admin.get(pictures(answer)[0]), 502, "UPSTREAM_ERROR: graphite: connection refused")


async def test_a_graphite_that_hangs_is_given_up_and_delays_no_page(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "PATIENCE_S", 0.1)
    async with Sink() as silent:
        silent.hanging = True
        admin, _ = await _cluster(world, graphite_url=silent.url, proxy_graphite=True)
        answer = await admin.get("/topics/t")
        assert answer.status == 200
        assert silent.requests == [], "the page itself asks it nothing"
        await refused(await admin.get(pictures(answer)[0]), 502, "UPSTREAM_ERROR: graphite: timed out")
        await refused(await admin.get(RATE), 502, "UPSTREAM_ERROR: graphite: timed out")
