"""Who may change things, and from where."""

from __future__ import annotations

import pytest

from tests.nsqadmin.world import World
from tests.support.fake_cluster import FakeNsqd, channel, topic

PAUSE = {"json": {"action": "pause"}}


async def _nsqd(world: World) -> FakeNsqd:
    return await world.nsqd(topic("t", channel("c")))


async def test_without_admins_everybody_may_act(world: World) -> None:
    nsqd = await _nsqd(world)
    admin = await world.admin(await world.lookupd(nsqd))
    assert (await admin.post("/api/topics/t", **PAUSE)).status == 200


@pytest.mark.parametrize("user", [None, "", "Ann", "annx", "ann,bob"])
async def test_with_admins_others_are_forbidden_to_act_and_may_read(world: World, user: str | None) -> None:
    nsqd = await _nsqd(world)
    lookupd = await world.lookupd(nsqd)
    admin = await world.admin(lookupd, admin_users=["ann", "bob"])
    headers = {} if user is None else {"X-Forwarded-User": user}
    for method, path in [
        ("POST", "/api/topics"),
        ("POST", "/api/topics/t"),
        ("POST", "/api/topics/t/c"),
        ("DELETE", "/api/topics/t"),
        ("DELETE", "/api/topics/t/c"),
        ("DELETE", f"/api/nodes/{nsqd.name}"),
    ]:
        answer = await admin.ask(method, path, headers=headers)
        assert (answer.status, answer.json) == (403, {"message": "FORBIDDEN"}), path
    assert (await admin.post("/actions/delete", data={"topic": "t"}, headers=headers)).status == 403
    assert (await admin.get("/actions/delete?topic=t", headers=headers)).status == 403
    assert (nsqd.calls, lookupd.calls) == ([], [])
    assert (await admin.get("/api/topics/t", headers=headers)).status == 200


async def test_an_admin_is_known_by_the_header_that_the_proxy_sets(world: World) -> None:
    nsqd = await _nsqd(world)
    admin = await world.admin(await world.lookupd(nsqd), admin_users=["ann"], acl_http_header="X-Who")
    assert (await admin.post("/api/topics/t", headers={"X-Forwarded-User": "ann"}, **PAUSE)).status == 403
    assert (await admin.post("/api/topics/t", headers={"X-Who": "ann"}, **PAUSE)).status == 200


async def test_who_may_not_act_sees_no_way_to(world: World) -> None:
    nsqd = await _nsqd(world)
    admin = await world.admin(await world.lookupd(nsqd), admin_users=["ann"])
    for path in ("/topics", "/topics/t", "/topics/t/c", "/nodes", f"/nodes/{nsqd.name}"):
        visitor = (await admin.get(path)).page
        assert not [href for name, href in visitor.attributes if name == "href" and "/actions/" in href], path
        assert "form" not in visitor.tags or path == "/topics"  # the search
        ann = (await admin.get(path, headers={"X-Forwarded-User": "ann"})).page
        assert any("/actions/" in href for href in ann.links.values()) or path == "/nodes", path


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": ""},
        {"Origin": "https://"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example", "Content-Type": "text/plain"},
    ],
)
async def test_a_page_of_another_site_can_change_nothing(world: World, headers: dict[str, str]) -> None:
    nsqd = await _nsqd(world)
    admin = await world.admin(await world.lookupd(nsqd))
    body = b'{"action":"empty"}'
    answer = await admin.post("/api/topics/t", data=body, headers=headers)
    assert (answer.status, answer.json) == (403, {"message": "CROSS_SITE"})
    assert (await admin.ask("DELETE", "/api/topics/t", headers=headers)).status == 403
    question = await admin.get("/actions/empty?topic=t")
    answer = await admin.post(
        "/actions/empty", data=question.page.fields, headers=headers, cookies=question.cookies
    )
    assert answer.status == 403
    assert nsqd.calls == []


async def test_scripts_and_our_own_pages_can(world: World) -> None:
    nsqd = await _nsqd(world)
    admin = await world.admin(await world.lookupd(nsqd))
    host = admin.base.removeprefix("http://")
    for headers in (
        {},
        {"Content-Type": "application/x-www-form-urlencoded"},  # what curl -d says
        {"Origin": admin.base},
        {"Sec-Fetch-Site": "same-origin", "Origin": "https://seen.by.the.browser"},
        {"Sec-Fetch-Site": "none"},
        {"Origin": "https://seen.by.the.browser", "X-Forwarded-Host": "seen.by.the.browser", "Host": host},
        {"Origin": "https://first.proxy", "X-Forwarded-Host": "first.proxy, second.proxy"},
    ):
        answer = await admin.post("/api/topics/t", data=b'{"action":"pause"}', headers=headers)
        assert answer.status == 200, headers


async def test_a_form_works_only_with_the_token_of_its_own_browser(world: World) -> None:
    nsqd = await _nsqd(world)
    admin = await world.admin(await world.lookupd(nsqd))
    question = await admin.get("/actions/empty?topic=t")
    fields, cookies = question.page.fields | {"typed": "t"}, question.cookies
    foreign = (await admin.get("/actions/empty?topic=t")).cookies
    for data, kept in (
        (fields, {}),
        (fields, foreign),
        (fields | {"token": ""}, cookies),
        (fields | {"token": ""}, dict.fromkeys(cookies, "")),
        ({"topic": "t"}, cookies),
        (fields | {"token": "\u00e9"}, cookies),
    ):
        answer = await admin.post("/actions/empty", data=data, cookies=kept)
        assert answer.status == 403
        assert answer.page.headings == ["This form is too old"]
    assert nsqd.calls == []
    assert (await admin.post("/actions/empty", data=fields, cookies=cookies)).status == 200


async def test_the_token_stays_the_same_for_a_browser_and_is_kept_from_scripts_and_other_sites(
    world: World,
) -> None:
    admin = await world.admin(await world.lookupd(await _nsqd(world)), base_path="/nsq")
    first = await admin.get("/nsq/actions/empty?topic=t")
    again = await admin.get("/nsq/actions/empty?topic=t", cookies=first.cookies)
    assert first.page.fields["token"] == again.page.fields["token"] == first.cookies["nsqadmin_form"]
    flags = {part.strip() for part in first.headers["Set-Cookie"].split(";")[1:]}
    assert flags == {"HttpOnly", "Path=/nsq", "SameSite=Strict"}
