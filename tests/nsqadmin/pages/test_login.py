"""Logging in and out as browsers do, and what is to be seen without."""

from __future__ import annotations

import base64
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsqadmin.access.accounts import Role
from nsqadmin.web.guard import basic_credentials
from tests.nsqadmin.access.hashes import account, write
from tests.nsqadmin.world import Answer, Visitor, World
from tests.support.fake_cluster import FakeNsqd, channel, topic

ANN, BOB = account("ann", "ann's"), account("bob", "bob's", Role.READ)
COOKIE = "nsqadmin_session"


async def _site(world: World, tmp_path: Path, **options: Any) -> tuple[FakeNsqd, Visitor]:
    nsqd = await world.nsqd(topic("t", channel("c"), depth=3))
    file = write(tmp_path / "auth", ANN, BOB)
    return nsqd, await world.admin(await world.lookupd(nsqd), auth_file=file, **options)


async def _log_in(
    admin: Visitor,
    user: str,
    password: str,
    target: str = "",
    headers: dict[str, str] | None = None,
    **cookies: str,
) -> Answer:
    form = await admin.get("/login" + (f"?next={target}" if target else ""))
    return await admin.post(
        "/login",
        data=form.page.fields | {"user": user, "password": password},
        cookies=form.cookies | cookies,
        headers=headers,
    )


def _basic(text: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(text.encode()).decode()}


async def test_without_a_login_pages_lead_to_it_and_the_api_says_401(world: World, tmp_path: Path) -> None:
    nsqd, admin = await _site(world, tmp_path)
    for path, target in [
        ("/", "/login"),
        ("/topics/t?x=1", "/login?next=%2Ftopics%2Ft%3Fx%3D1"),
        (f"/nodes/{nsqd.name}", f"/login?next=%2Fnodes%2F127.0.0.1%3A{nsqd.port}"),
        ("/actions/delete?topic=t", "/login?next=%2Factions%2Fdelete%3Ftopic%3Dt"),
    ]:
        answer = await admin.get(path)
        assert (answer.status, answer.headers["Location"]) == (303, target)
    answer = await admin.post("/actions/delete", data={"topic": "t"})
    assert (answer.status, answer.page.headings) == (401, ["You are logged out"])
    for method, path in [("GET", "/api/topics"), ("POST", "/api/topics/t"), ("DELETE", "/api/topics/t")]:
        answer = await admin.ask(method, path)
        assert (answer.status, answer.json) == (401, {"message": "UNAUTHORIZED"})
        assert answer.headers["WWW-Authenticate"] == 'Basic realm="nsqadmin", charset="UTF-8"'
    answer = await admin.get("/api/topics", headers={"Sec-Fetch-Mode": "cors"})
    assert (answer.status, answer.headers.get("WWW-Authenticate")) == (401, None)
    for path in ("/ping", "/static/main.js", "/login"):
        assert (await admin.get(path)).status == 200
    missing = await admin.get("/topics/t/c/nowhere")
    assert missing.status == 404
    assert "Topics" not in missing.page.links
    assert nsqd.calls == []


async def test_a_login_leads_back_and_lasts_until_the_logout(world: World, tmp_path: Path) -> None:
    nsqd, admin = await _site(world, tmp_path)
    form = await admin.get("/login?next=%2Ftopics%2Ft%3Fx%3D1")
    assert form.page.title == "Log in · nsqadmin"
    answer = await _log_in(admin, "ann", "ann's", "%2Ftopics%2Ft%3Fx%3D1")
    assert (answer.status, answer.headers["Location"]) == (303, "/topics/t?x=1")
    kept = {COOKIE: answer.cookies[COOKIE]}
    page = (await admin.get("/topics/t", cookies=kept)).page
    assert "user ann" in page.words
    assert (await admin.get("/api/topics", cookies=kept)).status == 200
    assert (await admin.get("/login?next=%2Fnodes", cookies=kept)).headers["Location"] == "/nodes"
    question = await admin.get("/actions/pause?topic=t", cookies=kept)
    assert "Set-Cookie" not in question.headers
    done = await admin.post("/actions/pause", data=question.page.fields, cookies=kept)
    assert done.page.title.startswith("Done")
    assert nsqd.calls == ["/topic/pause?topic=t"]
    question = await admin.get(page.links["Log out"], cookies=kept)
    assert (await admin.get("/topics", cookies=kept)).status == 200
    out = await admin.post("/logout", data=question.page.fields, cookies=kept)
    assert (out.status, out.headers["Location"], out.cookies[COOKIE]) == (303, "/login", "")
    assert (await admin.get("/topics", cookies=kept)).status == 303
    assert (await admin.get("/logout", cookies=kept)).headers["Location"] == "/login"


async def test_a_wrong_name_and_a_wrong_password_look_the_same(world: World, tmp_path: Path) -> None:
    _, admin = await _site(world, tmp_path)
    texts = set()
    for user, password in [("ann", "wrong"), ("nobody", "wrong"), ("", ""), ("ann", ""), ("ann", "x" * 5000)]:
        answer = await _log_in(admin, user, password)
        assert (answer.status, COOKIE in answer.cookies) == (403, False)
        assert answer.page.fields["user"] == user
        texts.add(re.sub(r"\d\d:\d\d:\d\d", "", answer.page.words))  # when it was
    assert len(texts) == 1
    assert "User or password is wrong." in texts.pop()


async def test_too_many_wrong_passwords_have_to_wait_in_the_form_and_in_the_api(
    world: World, tmp_path: Path
) -> None:
    _, admin = await _site(world, tmp_path)
    familiar = (await _log_in(admin, "ann", "ann's")).cookies["nsqadmin_familiar"]
    for number in range(10):
        assert (await admin.get("/api/topics", headers=_basic(f"ann:{number}"))).status == 401
    answer = await admin.get("/api/topics", headers=_basic("ann:ann's"))
    assert (answer.status, answer.json) == (429, {"message": "TOO_MANY_TRIES"})
    assert 0 < int(answer.headers["Retry-After"]) <= 60
    answer = await _log_in(admin, "ann", "ann's")
    assert answer.status == 429
    assert "Too many attempts from your address. Try again in" in answer.page.words
    assert int(answer.headers["Retry-After"]) > 0
    assert (await _log_in(admin, "ann", "ann's", nsqadmin_familiar=familiar)).status == 303


@pytest.mark.parametrize(
    "target",
    [
        "https://evil.example/",
        "//evil.example/",
        "/\\evil.example",
        "\\\\evil.example",
        "javascript:alert(1)",
        "nsq",
        "/nsqx/topics",
        "/other",
        "/nsq/../other",
        "/nsq/%2e./other",
        "/nsq//evil.example\r\nSet-Cookie: a=b",
        "/nsq/é",
        "http:///nsq/",
        "http://[",
        "/nsq/login",
        "/nsq/logout",
        "/nsq/" + "x" * 3000,
        "",
    ],
)
async def test_a_login_never_leads_to_another_site(world: World, tmp_path: Path, target: str) -> None:
    _, admin = await _site(world, tmp_path, base_path="/nsq")
    form = await admin.get("/nsq/login")
    fields = form.page.fields | {"user": "ann", "password": "ann's", "next": target}
    answer = await admin.post("/nsq/login", data=fields, cookies=form.cookies)
    assert (answer.status, answer.headers["Location"]) == (303, "/nsq")
    assert answer.headers.getall("Set-Cookie")[0].startswith(COOKIE)


async def test_cookies_are_kept_from_scripts_other_sites_and_other_paths(
    world: World, tmp_path: Path
) -> None:
    _, admin = await _site(world, tmp_path, base_path="/nsq")
    for headers, secure in [({}, False), ({"X-Forwarded-Proto": "https"}, True)]:
        form = await admin.get("/nsq/login", headers=headers)
        fields = form.page.fields | {"user": "ann", "password": "ann's"}
        answer = await admin.post("/nsq/login", data=fields, cookies=form.cookies, headers=headers)
        for header, samesite in zip(answer.headers.getall("Set-Cookie"), ("Lax", "Strict"), strict=True):
            flags = {part.strip() for part in header.split(";")[1:]}
            assert {"HttpOnly", "Path=/nsq", f"SameSite={samesite}"} <= flags
            assert ("Secure" in flags) == secure
            assert not any(flag.startswith("Domain") for flag in flags)


async def test_another_site_can_log_nobody_in_or_out(world: World, tmp_path: Path) -> None:
    _, admin = await _site(world, tmp_path)
    evil = {"Origin": "https://evil.example"}
    assert (await _log_in(admin, "ann", "ann's", headers=evil)).status == 403
    assert (await admin.post("/login", data={"user": "ann", "password": "ann's"})).status == 403
    kept = {COOKIE: (await _log_in(admin, "ann", "ann's")).cookies[COOKIE]}
    for data, headers in [({}, {}), ({"token": "x"}, {}), ({}, evil)]:
        assert (await admin.post("/logout", data=data, cookies=kept, headers=headers)).status == 403
    assert (await admin.get("/topics", cookies=kept)).status == 200


async def test_a_login_makes_a_new_session_and_ends_the_one_before(world: World, tmp_path: Path) -> None:
    _, admin = await _site(world, tmp_path)
    first = (await _log_in(admin, "ann", "ann's")).cookies[COOKIE]
    form = await admin.get("/login")
    fields = form.page.fields | {"user": "bob", "password": "bob's"}
    # Its own page would lead on; this is a browser with an old page still open.
    stale = await admin.post("/login", data=fields, cookies=form.cookies | {COOKIE: first})
    assert stale.status == 403
    fields["token"] = (await admin.get("/logout", cookies={COOKIE: first})).page.fields["token"]
    second = await admin.post("/login", data=fields, cookies=form.cookies | {COOKIE: first})
    assert second.cookies[COOKIE] != first
    assert (await admin.get("/topics", cookies={COOKIE: first})).status == 303
    assert "user bob" in (await admin.get("/topics", cookies={COOKIE: second.cookies[COOKIE]})).page.words


async def test_a_form_works_only_in_the_session_it_was_made_for(world: World, tmp_path: Path) -> None:
    nsqd, admin = await _site(world, tmp_path)
    mine = {COOKIE: (await _log_in(admin, "ann", "ann's")).cookies[COOKIE]}
    other = {COOKIE: (await _log_in(admin, "ann", "ann's")).cookies[COOKIE]}
    question = await admin.get("/actions/empty?topic=t", cookies=mine)
    fields = question.page.fields | {"typed": "t"}
    planted = {"nsqadmin_form": fields["token"]}
    for cookies in (other, other | planted):
        answer = await admin.post("/actions/empty", data=fields, cookies=cookies)
        assert (answer.status, answer.page.headings) == (403, ["This form is too old"])
    own_token = {"token": "A" * 43}
    answer = await admin.post(
        "/actions/empty", data=fields | own_token, cookies=mine | {"nsqadmin_form": "A" * 43}
    )
    assert answer.status == 403
    assert nsqd.calls == []
    assert (await admin.post("/actions/empty", data=fields, cookies=mine)).status == 200


async def test_a_reader_sees_no_way_to_act_and_can_not(world: World, tmp_path: Path) -> None:
    nsqd, admin = await _site(world, tmp_path)
    kept = {COOKIE: (await _log_in(admin, "bob", "bob's")).cookies[COOKIE]}
    for path in ("/topics", "/topics/t", "/topics/t/c", "/nodes", f"/nodes/{nsqd.name}"):
        page = (await admin.get(path, cookies=kept)).page
        assert "user bob, who may read but not change" in page.words
        assert not [href for href in page.links.values() if "/actions/" in href], path
    for headers, cookies in ((_basic("bob:bob's"), {}), ({}, kept)):
        assert (await admin.get("/api/topics/t", headers=headers, cookies=cookies)).status == 200
        for method, path in [("POST", "/api/topics/t"), ("DELETE", "/api/topics/t"), ("POST", "/api/topics")]:
            answer = await admin.ask(method, path, headers=headers, cookies=cookies, json={"action": "empty"})
            assert (answer.status, answer.json) == (403, {"message": "FORBIDDEN"})
    answer = await admin.get("/actions/delete?topic=t", cookies=kept)
    assert (answer.status, answer.page.headings) == (403, ["You may not change things here"])
    assert (await admin.post("/actions/delete", data={"topic": "t"}, cookies=kept)).status == 403
    assert nsqd.calls == []


async def test_scripts_show_name_and_password_with_each_request_of_the_api(
    world: World, tmp_path: Path
) -> None:
    nsqd, admin = await _site(world, tmp_path)
    for _ in range(3):
        answer = await admin.post("/api/topics/t", json={"action": "pause"}, headers=_basic("ann:ann's"))
        assert (answer.status, "Set-Cookie" in answer.headers) == (200, False)
    assert nsqd.calls == ["/topic/pause?topic=t"] * 3
    cross = _basic("ann:ann's") | {"Origin": "https://evil.example", "Content-Type": "text/plain"}
    assert (await admin.post("/api/topics/t", data=b'{"action":"empty"}', headers=cross)).status == 403
    assert (await admin.get("/topics", headers=_basic("ann:ann's"))).status == 303
    for header in (
        "Basic",
        "Basic ",
        "Basic !!!",
        "Basic YQ==",
        "Bearer x",
        "basic \u00ff",
        "Basic " + "A" * 9000,
    ):
        assert (await admin.get("/api/topics", headers={"Authorization": header})).status == 401


async def test_the_header_of_a_proxy_counts_only_where_admins_are_named(world: World, tmp_path: Path) -> None:
    _, alone = await _site(world, tmp_path)
    said = {"X-Forwarded-User": "ann"}
    assert (await alone.get("/api/topics", headers=said)).status == 401
    nsqd, both = await _site(world, tmp_path, admin_users=["zoe"])
    assert (await both.get("/api/topics")).status == 401
    assert (await both.get("/api/topics", headers=said)).status == 200
    assert (await both.post("/api/topics/t", json={"action": "pause"}, headers=said)).status == 403
    zoe = {"X-Forwarded-User": "zoe"}
    assert (await both.post("/api/topics/t", json={"action": "pause"}, headers=zoe)).status == 200
    kept = {COOKIE: (await _log_in(both, "ann", "ann's")).cookies[COOKIE]}
    answer = await both.post("/api/topics/t", json={"action": "pause"}, cookies=kept)
    assert answer.status == 200
    assert len(nsqd.calls) == 2


async def test_a_header_that_came_twice_names_nobody(world: World) -> None:
    nsqd = await world.nsqd(topic("t"))
    admin = await world.admin(await world.lookupd(nsqd), admin_users=["ann"])
    for headers in (
        [("X-Forwarded-User", "ann"), ("X-Forwarded-User", "bob")],
        [("X-Forwarded-User", "ann"), ("X-Forwarded-User", "ann")],
    ):
        answer = await admin.post("/api/topics/t", json={"action": "pause"}, headers=headers)
        assert answer.status == 403


async def test_whoever_is_taken_out_of_the_file_is_logged_out(world: World, tmp_path: Path) -> None:
    nsqd = await world.nsqd(topic("t"))
    admin = await world.admin(await world.lookupd(nsqd), auth_file=write(tmp_path / "auth", ANN, BOB))
    kept = {COOKIE: (await _log_in(admin, "ann", "ann's")).cookies[COOKIE]}
    logins = world.admins[0].guard.logins
    assert logins is not None
    write(tmp_path / "auth", BOB)
    await logins.accounts.refresh()
    assert (await admin.get("/topics", cookies=kept)).status == 303


async def test_without_an_auth_file_there_is_no_login(world: World) -> None:
    admin = await world.admin(await world.lookupd())
    assert (await admin.get("/login")).status == 404
    assert (await admin.get("/topics")).page.links.get("Log out") is None


@pytest.mark.parametrize(
    ("options", "warns"),
    [
        ({"http_address": "0.0.0.0:0"}, True),
        ({"http_address": "[::]:0"}, True),
        ({"http_address": "127.0.0.1:0"}, False),
        ({"http_address": "0.0.0.0:0", "admin_users": ["ann"]}, False),
        ({"http_address": "0.0.0.0:0", "auth_file": "yes"}, False),
    ],
)
async def test_a_cluster_open_to_everybody_is_warned_of_at_the_start(
    world: World, tmp_path: Path, caplog: pytest.LogCaptureFixture, options: dict[str, Any], warns: bool
) -> None:
    if "auth_file" in options:
        options = options | {"auth_file": write(tmp_path / "auth", ANN)}
    with caplog.at_level(logging.WARNING):
        await world.admin(await world.lookupd(), **options)
    warnings = [message for message in caplog.messages if "may change and delete everything" in message]
    assert len(warnings) == warns


async def test_any_cookie_is_a_stranger_s(world: World, tmp_path: Path) -> None:
    _, admin = await _site(world, tmp_path)
    for text in ("x", '"', "nsqadmin_session=", "\u00e9", "a" * 5000, "%00", "=; ;=", "\\"):
        headers = {
            "Cookie": f"nsqadmin_session={text}; nsqadmin_form={text}; nsqadmin_familiar={text}.{text}"
        }
        assert (await admin.get("/topics", headers=headers)).status == 303
        data = {"user": "ann", "password": "ann's", "token": text}
        assert (await admin.post("/login", data=data, headers=headers)).status in (303, 403)


@given(st.one_of(st.text(), st.binary().map(lambda data: "Basic " + base64.b64encode(data).decode())))
def test_any_authorization_is_a_name_and_a_password_or_nothing(header: str) -> None:
    found = basic_credentials(header)
    assert found is None or (
        ":" not in found[0]
        and basic_credentials("Basic " + base64.b64encode(":".join(found).encode()).decode()) == found
    )


@pytest.fixture
def level() -> Iterator[None]:
    """The level of logging, which is the process's, is put back."""
    root = logging.getLogger()
    before = root.level
    yield
    root.setLevel(before)


@pytest.mark.usefixtures("level")
async def test_options_need_a_login_too_and_are_changed_by_admins_only(world: World, tmp_path: Path) -> None:
    _, admin = await _site(world, tmp_path)
    assert (await admin.get("/config/log_level")).status == 401
    assert (await admin.get("/config/log_level", headers=_basic("bob:bob's"))).status == 200
    answer = await admin.ask("PUT", "/config/log_level", data=b"info", headers=_basic("bob:bob's"))
    assert (answer.status, answer.json) == (403, {"message": "FORBIDDEN"})
    assert (
        await admin.ask("PUT", "/config/log_level", data=b"info", headers=_basic("ann:ann's"))
    ).status == 200
