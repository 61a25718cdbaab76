"""Who did what, on a page, in the log and over restarts."""

from __future__ import annotations

import base64
import json
import logging
from pathlib import Path

import pytest

from nsqadmin.access.accounts import Role
from nsqadmin.daemon import NsqAdmin
from nsqadmin.options import Options
from nsqcore.errors import HttpError, StartError
from nsqcore.logs import JsonFormatter
from tests.nsqadmin.access.hashes import account, write
from tests.nsqadmin.world import Visitor, World
from tests.support.fake_cluster import channel, topic

ANN = {"X-Forwarded-User": "ann"}


async def _rows(
    admin: Visitor, query: str = "", headers: dict[str, str] | None = None
) -> list[dict[str, str]]:
    page = (await admin.get(f"/audit{query}", headers=headers)).page
    return page.table() if page.tables else []


async def test_every_change_is_listed_whoever_made_it_and_how(world: World) -> None:
    good, bad = await world.nsqd(topic("t", channel("c"))), await world.nsqd(topic("t", channel("c")))
    admin = await world.admin(await world.lookupd(good, bad))
    assert (await admin.get("/audit")).page.headings == ["Audit", "Nothing was done yet"]
    bad.lies["/channel/pause"] = HttpError(500, "INTERNAL_ERROR")
    await admin.post("/api/topics/t/c", json={"action": "pause"}, headers=ANN)
    await admin.confirm("/actions/empty?topic=t")
    await admin.confirm(f"/actions/pause?topic=t&node={good.name}")
    await admin.post("/api/topics/nope", json={"action": "pause"}, headers=ANN)
    rows = await _rows(admin)
    assert [(row["User"], row["Action"]) for row in rows] == [
        ("ann", "pause topic"),
        ("anybody", "pause topic"),
        ("anybody", "empty topic"),
        ("ann", "pause channel"),
    ]
    assert [row["On"] for row in (rows[0], rows[2], rows[3])] == ["nope", "t", "t/c"]
    assert rows[1]["On"].endswith(f" on {good.name}")
    assert rows[0]["Result"] == "not done TOPIC_NOT_FOUND"
    assert rows[1]["Result"].startswith("done done by 1 of 1")
    assert rows[3]["Result"].startswith("partly done done by 1 of 2")
    assert f"nsqd {bad.address} failed: got response 500" in rows[3]["Result"]
    assert f"nsqd {good.address} channel paused" in rows[3]["Result"]
    assert rows[0]["From"].startswith("127.0.0.1:")


async def test_it_can_be_searched_by_user_and_topic(world: World) -> None:
    admin = await world.admin(await world.lookupd(await world.nsqd(topic("orders"), topic("mails"))))
    for name, user in (("orders", "ann"), ("mails", "ann"), ("orders", "bob")):
        await admin.post(f"/api/topics/{name}", json={"action": "pause"}, headers={"X-Forwarded-User": user})
    found = [(row["User"], row["On"]) for row in await _rows(admin, "?user=ann&topic=ORD")]
    assert found == [("ann", "orders")]
    assert len(await _rows(admin, "?topic=orders")) == 2
    nothing = (await admin.get("/audit?user=zoe")).page
    assert "Nothing found" in nothing.headings
    assert nothing.links["Show all"] == "/audit"


async def test_logins_and_refusals_are_listed_and_readers_do_not_see_them(
    world: World, tmp_path: Path
) -> None:
    file = write(tmp_path / "auth", account("ann", "ann's"), account("bob", "bob's", Role.READ))
    nsqd = await world.nsqd(topic("t"))
    admin = await world.admin(await world.lookupd(nsqd), auth_file=file)

    def basic(text: str) -> dict[str, str]:
        return {"Authorization": "Basic " + base64.b64encode(text.encode()).decode()}

    async def log_in(user: str, password: str) -> dict[str, str]:
        form = await admin.get("/login")
        fields = form.page.fields | {"user": user, "password": password}
        return (await admin.post("/login", data=fields, cookies=form.cookies)).cookies

    await log_in("ann", "wrong")
    await log_in("hunter2", "ann")
    await admin.get("/api/topics", headers=basic("ann:no"))
    bob, ann = await log_in("bob", "bob's"), await log_in("ann", "ann's")
    await admin.ask("DELETE", "/api/topics/t", headers=basic("bob:bob's"))
    await admin.post(
        "/api/topics/t", json={"action": "pause"}, cookies=ann, headers={"Origin": "http://evil"}
    )
    await admin.post("/actions/pause", data={"topic": "t"}, cookies=ann)
    question = await admin.get("/logout", cookies=bob)
    await admin.post("/logout", data=question.page.fields, cookies=bob)
    page = (await admin.get("/audit", cookies=ann)).page
    assert [(row["User"], row["Action"], row["Result"]) for row in reversed(page.table())] == [
        ("ann", "log in", "refused wrong password"),
        ("anybody", "log in", "refused unknown user"),
        ("ann", "log in", "refused wrong password"),
        ("bob", "log in", "done"),
        ("ann", "log in", "done"),
        ("bob", "DELETE /api/topics/t", "refused FORBIDDEN"),
        ("ann", "POST /api/topics/t", "refused CROSS_SITE"),
        ("ann", "POST /actions/pause", "refused STALE_FORM"),
        ("bob", "log out", "done"),
    ]
    assert "hunter2" not in page.words
    bob = await log_in("bob", "bob's")
    assert (await admin.get("/audit", cookies=bob)).status == 403
    assert nsqd.calls == []


async def test_a_flood_of_refusals_does_not_push_changes_out(world: World) -> None:
    admin = await world.admin(await world.lookupd(await world.nsqd(topic("t"))))
    await admin.post("/api/topics/t", json={"action": "pause"})
    for _ in range(600):
        await admin.ask("DELETE", "/api/topics/t", headers={"Origin": "http://evil"})
    assert [row["Action"] for row in await _rows(admin, "?topic=t")] == ["pause topic"]
    assert len(await _rows(admin)) == 200


async def test_a_data_path_keeps_the_trail_over_a_restart(world: World, tmp_path: Path) -> None:
    lookupd = await world.lookupd(await world.nsqd(topic("t")))
    admin = await world.admin(lookupd, data_path=str(tmp_path))
    await admin.post("/api/topics/t", json={"action": "pause"}, headers=ANN)
    await world.admins[0].stop()
    again = await world.admin(lookupd, data_path=str(tmp_path))
    assert [(row["User"], row["Action"]) for row in await _rows(again)] == [("ann", "pause topic")]
    await world.admins[1].stop()
    asked = Options(lookupd_http_addresses=[lookupd.address], data_path=str(tmp_path / "nowhere"))
    with pytest.raises(StartError, match=r"--data-path .* is no folder that can be written to"):
        await NsqAdmin(asked).start()


async def test_a_line_of_the_json_log_has_the_facts_one_by_one(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    admin = await world.admin(await world.lookupd(await world.nsqd(topic("t", channel("c")))))
    with caplog.at_level(logging.INFO, logger="nsqadmin.changes.audit"):
        await admin.post("/api/topics/t/c", json={"action": "pause"}, headers=ANN)
    line = json.loads(JsonFormatter("[nsqadmin] ").format(caplog.records[-1]))
    facts = {key: line[key] for key in ("user", "action", "topic", "channel", "result", "level")}
    assert facts == {
        "user": "ann", "action": "pause channel", "topic": "t", "channel": "c", "result": "done", "level": "INFO",
    }  # fmt: skip
    assert "node" not in line
