"""What all answers have in common, and how nsqadmin starts."""

from __future__ import annotations

import asyncio
import gzip
import io
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nsqadmin.daemon import NsqAdmin
from nsqadmin.options import Options
from nsqadmin.web import http_server
from nsqcore.durations import Duration
from nsqcore.errors import StartError
from tests.nsqadmin.page import Page
from tests.nsqadmin.world import World
from tests.support.fake_cluster import channel, topic
from tests.support.processes import ROOT

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({}, "--nsqd-http-address or --lookupd-http-address required"),
        ({"lookupd_http_addresses": ["nowhere"]}, "failed to resolve --lookupd-http-address (nowhere) - "),
        (
            {"nsqd_http_addresses": ["no.invalid:1"]},
            "failed to resolve --nsqd-http-address (no.invalid:1) - ",
        ),
        (
            {"nsqd_http_addresses": ["127.0.0.1:1"], "http_address": "127.0.0.1:99999"},
            "listen (127.0.0.1:99999) failed - ",
        ),
    ],
)
async def test_what_can_not_work_is_refused_at_the_start(options: dict[str, Any], text: str) -> None:
    admin = NsqAdmin(Options(**options))
    with pytest.raises(StartError) as refused:
        await admin.start()
    await admin.stop()
    assert str(refused.value).startswith(text)


async def test_ping_answers_without_asking_anybody(world: World) -> None:
    lookupd = await world.lookupd()
    lookupd.hanging = True
    admin = await world.admin(lookupd)
    async with asyncio.timeout(1):
        answer = await admin.get("/ping")
    assert (answer.status, answer.text, answer.headers["Content-Type"]) == (
        200,
        "OK",
        "text/plain; charset=utf-8",
    )


async def test_it_looks_as_often_as_it_is_told(world: World) -> None:
    nsqd = await world.nsqd()
    options = {"sample_interval": Duration.parse("100ms"), "history": Duration.parse("1h")}
    await world.admin(await world.lookupd(nsqd), **options)
    async with asyncio.timeout(20):
        while len(nsqd.questions) < 5:  # noqa: ASYNC110 - what is asked is a list, which tells nobody
            await asyncio.sleep(0.02)


@pytest.mark.parametrize(
    "path", ["/", "/topics/nope", "/api/topics", "/static/main.js", "/actions/create", "/ping"]
)
async def test_browsers_are_told_to_load_nothing_from_elsewhere(world: World, path: str) -> None:
    answer = await (await world.admin(await world.lookupd())).get(path)
    policy = {part.strip() for part in answer.headers["Content-Security-Policy"].split(";")}
    assert {"default-src 'none'", "script-src 'self'", "style-src 'self'", "frame-ancestors 'none'"} <= policy
    assert {"form-action 'self'", "base-uri 'none'"} <= policy
    assert not any("unsafe" in part or "http" in part or "*" in part for part in policy)
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["X-Frame-Options"] == "DENY"
    assert answer.headers["Cache-Control"] == ("no-cache" if "static" in path else "no-store")
    assert not [name for name in answer.headers if name.startswith("Access-Control")]


async def test_everything_lies_below_the_base_path(world: World) -> None:
    nsqd = await world.nsqd(topic("t", channel("c")))
    admin = await world.admin(await world.lookupd(nsqd), base_path="/nsq")
    for path in ("/", "/topics", "/api/topics", "/ping", "/static/main.js"):
        assert (await admin.get(path)).status == 404, path
    redirect = await admin.get("/nsq/")
    assert (redirect.status, redirect.headers["Location"]) == (301, "/nsq")
    assert (await admin.get("/nsq/api/topics")).json["topics"] == ["t"]
    assert (await admin.get("/nsq/api/topics/nope")).json == {"message": "TOPIC_NOT_FOUND"}
    for path in (
        "/nsq",
        "/nsq/topics/t",
        "/nsq/topics/t/c",
        "/nsq/nodes",
        f"/nsq/nodes/{nsqd.name}",
        "/nsq/actions/delete?topic=t",
    ):
        answer = await admin.get(path)
        assert answer.status == 200, path
        for name, value in answer.page.attributes:
            if name in ("href", "src", "action"):
                assert value == "/nsq" or value.startswith(("/nsq/", "#", "?")), (path, value)
    assert (await admin.confirm("/nsq/actions/delete?topic=t")).page.title == "Done: delete t · nsqadmin"


async def test_files_are_asked_for_again_only_when_they_changed(world: World) -> None:
    admin = await world.admin(await world.lookupd())
    for name, kind in [
        ("colours.css", "text/css"),
        ("main.js", "text/javascript"),
        ("icon.svg", "image/svg+xml"),
    ]:
        answer = await admin.get(f"/static/{name}")
        assert answer.headers["Content-Type"] == f"{kind}; charset=utf-8"
        again = await admin.get(f"/static/{name}", headers={"If-None-Match": answer.headers["ETag"]})
        assert (again.status, again.text) == (304, "")


@pytest.mark.parametrize(
    "name", ["nope.js", "..%2fdaemon.py", "..%2f__init__.py", "%2e%2e", "main.py", "..%5cmain.js"]
)
async def test_other_files_are_not_given_away(world: World, name: str) -> None:
    answer = await (await world.admin(await world.lookupd())).get(f"/static/{name}")
    assert (answer.status, answer.text) == (404, "NOT_FOUND")


async def test_there_are_no_fonts_of_ours(world: World) -> None:
    assert (await (await world.admin(await world.lookupd())).get("/fonts/some.woff")).status == 404


async def test_files_of_a_folder_are_read_anew_each_time(world: World, tmp_path: Path) -> None:
    admin = await world.admin(await world.lookupd(), dev_static_dir=str(tmp_path))
    assert (await admin.get("/static/main.js")).text == "NOT_FOUND"
    for text in ("one", "two"):
        (tmp_path / "main.js").write_text(text)
        assert (await admin.get("/static/main.js")).text == text
    (tmp_path / "main.js").unlink()
    assert (await admin.get("/static/main.js")).status == 404
    (tmp_path / "secret.txt").write_text("secret")
    for name in ("secret.txt", "..%2fmain.css", "main.js%00.js", "x.js%2f..%2fsecret.txt"):
        assert (await admin.get(f"/static/{name}")).text == "NOT_FOUND"


async def test_modules_import_only_modules_that_are_there(world: World) -> None:
    admin = await world.admin(await world.lookupd())
    wanted, seen = ["main.js", "early.js"], set()
    while wanted:
        name = wanted.pop()
        seen.add(name)
        answer = await admin.get(f"/static/{name}")
        assert answer.status == 200, name
        imports = [line.split('"')[1] for line in answer.text.splitlines() if line.startswith("import ")]
        wanted += [path.removeprefix("./") for path in imports if path.removeprefix("./") not in seen]
    assert seen == {path.name for path in (ROOT / "nsqadmin" / "static").glob("*.js")}


async def test_long_answers_are_compressed_for_those_who_say_how(world: World) -> None:
    admin = await world.admin(await world.lookupd(await world.nsqd(*(topic(f"t{i}") for i in range(50)))))
    undo: dict[str | None, Callable[[bytes], bytes]] = {
        "gzip": gzip.decompress,
        "deflate": zlib.decompress,
        None: bytes,
    }
    for accepted, coding in [
        ("gzip", "gzip"), ("deflate, gzip", "deflate"), ("br, gzip", "gzip"), ("gzip;q=0", None), ("", None),
    ]:  # fmt: skip
        async with admin.http.get(
            admin.base + "/topics", headers={"Accept-Encoding": accepted}, auto_decompress=False
        ) as response:
            body = await response.read()
            assert response.headers["Vary"] == "Accept-Encoding"
            assert response.headers.get("Content-Encoding") == coding
            text = undo[coding](body).decode()
        assert len(Page(text).table()) == 50


async def test_a_form_too_long_is_refused(world: World) -> None:
    admin = await world.admin(await world.lookupd())
    answer = await admin.post("/actions/create", data=io.BytesIO(b"topic=" + b"x" * (2 << 20)), headers=FORM)
    assert answer.status == 413
    answer = await admin.post("/api/topics", data=io.BytesIO(b"x" * (2 << 20)))
    assert (answer.status, answer.json) == (413, {"message": "BODY_TOO_BIG"})


async def test_stopping_twice_is_fine(world: World) -> None:
    lookupd = await world.lookupd()
    admin = NsqAdmin(Options(http_address="127.0.0.1:0", lookupd_http_addresses=[lookupd.address]))
    await admin.start()
    await admin.stop()
    await admin.stop()


async def test_a_body_that_does_not_come_is_waited_for_only_so_long(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_server, "BODY_S", 0.05)
    admin = await world.admin(await world.lookupd())
    host, _, port = admin.base.removeprefix("http://").rpartition(":")
    for path in ("/actions/create", "/api/topics"):
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\ntopic".encode())
        assert b" 408 " in await reader.readline()
        if path.startswith("/api"):
            assert b"BODY_TIMEOUT" in await reader.readuntil(b"}")
        writer.close()
        await writer.wait_closed()
