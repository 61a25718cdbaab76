"""``/config/KEY``: options to read without their secrets, and two to set."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from nsqadmin.api.config import MOST_ADDRESSES
from nsqadmin.daemon import NsqAdmin
from nsqadmin.options import COMMAND_LINE, Options
from nsqcore.durations import Duration
from tests.nsqadmin.world import Answer, World
from tests.support.fake_cluster import topic

ADDRESSES = "/config/nsqlookupd_http_addresses"


@pytest.fixture(autouse=True)
def _level() -> Iterator[None]:
    root = logging.getLogger()
    before = root.level
    yield
    root.setLevel(before)


def refused(answer: Answer, status: int, code: str) -> None:
    assert (answer.status, answer.json) == (status, {"message": code})


@pytest.mark.parametrize(
    ("key", "body", "kind"),
    [
        ("log_level", "2", "application/json; charset=utf-8"),
        ("nsqd_http_addresses", "[]", "application/json; charset=utf-8"),
        ("admin_users", '["ann","bob"]', "application/json; charset=utf-8"),
        ("http_client_connect_timeout", "250000000", "application/json; charset=utf-8"),
        ("http_client_tls_insecure_skip_verify", "false", "application/json; charset=utf-8"),
        ("allow_config_from_cidr", "127.0.0.1/8", "text/plain; charset=utf-8"),
        ("log_prefix", "[nsqadmin] ", "text/plain; charset=utf-8"),
        ("http_client_tls_cert", "", None),
    ],
)
async def test_an_option_is_told_as_the_original_tells_it(
    world: World, key: str, body: str, kind: str | None
) -> None:
    admin = await world.admin(
        await world.lookupd(),
        admin_users=["ann", "bob"],
        http_client_connect_timeout=Duration.parse("250ms"),
    )
    answer = await admin.get(f"/config/{key}")
    assert (answer.status, answer.text, answer.headers.get("Content-Type")) == (200, body, kind)
    assert answer.headers["X-Nsq-Content-Type"] == "nsq; version=1.0"


async def test_every_option_can_be_read(world: World) -> None:
    admin = await world.admin(await world.lookupd())
    for flag in COMMAND_LINE.flags.values():
        assert (await admin.get(f"/config/{flag.key}")).status == 200, flag.key


@pytest.mark.parametrize("key", ["nope", "config", "version", "log-level", "LOG_LEVEL", "cluster"])
async def test_what_is_no_option_is_refused(world: World, key: str) -> None:
    admin = await world.admin(await world.lookupd())
    refused(await admin.get(f"/config/{key}"), 400, "INVALID_OPTION")
    refused(await admin.ask("PUT", f"/config/{key}", data=b"x"), 400, "INVALID_OPTION")


async def test_secrets_are_not_told(world: World) -> None:
    admin = await world.admin(
        await world.lookupd(),
        notification_http_endpoint="https://u:secret@hooks.example/services/T0/secret?k=secret",
    )
    assert (await admin.get("/config/notification_http_endpoint")).text == "https://hooks.example/..."


@pytest.mark.parametrize("key", ["admin_users", "graphite_url", "allow_config_from_cidr", "acl_http_header"])
async def test_other_options_can_not_be_set(world: World, key: str) -> None:
    admin = await world.admin(await world.lookupd())
    refused(await admin.ask("PUT", f"/config/{key}", data=b"[]"), 400, "INVALID_OPTION")


async def test_a_log_level_counts_at_once(world: World) -> None:
    admin = await world.admin(await world.lookupd())
    answer = await admin.ask("PUT", "/config/log_level", data=b"Debug")
    assert (answer.status, answer.text) == (200, "1")
    assert logging.getLogger().level == logging.DEBUG
    assert (await admin.get("/config/log_level")).text == "1"
    for body in (b"zzz", b'"info"', b"\xff", b" info"):
        refused(await admin.ask("PUT", "/config/log_level", data=body), 400, "INVALID_VALUE")
    assert logging.getLogger().level == logging.DEBUG


@pytest.mark.parametrize("body", [b"", b"x" * ((1 << 20) + 1)])
async def test_nothing_and_too_much_are_refused(world: World, body: bytes) -> None:
    admin = await world.admin(await world.lookupd())
    refused(await admin.ask("PUT", "/config/log_level", data=io.BytesIO(body)), 413, "INVALID_VALUE")


async def test_nsqlookupds_can_be_exchanged(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    old = await world.lookupd(await world.nsqd(topic("old")))
    new = await world.lookupd(await world.nsqd(topic("new")))
    admin = await world.admin(old)
    answer = await admin.ask("PUT", ADDRESSES, data=json.dumps([new.address, new.address]))
    assert (answer.status, answer.json) == (200, [new.address, new.address])
    assert (await admin.get(ADDRESSES)).json == [new.address, new.address]
    assert (await admin.get("/api/topics")).json["topics"] == ["new"]
    assert len([q for q in new.questions if q == "/topics"]) <= 2, "each is asked once for a page"
    (told,) = [line for line in caplog.messages if line.startswith("ADMIN: set ")]
    assert told.startswith("ADMIN: set nsqlookupd_http_addresses by anybody (127.0.0.1:")
    assert new.address in told
    assert "set nsqlookupd_http_addresses" in (await admin.get("/audit")).text


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("[]", "has 0, not 1 to 100"),
        ("null", "has 0, not 1 to 100"),
        (json.dumps(["127.0.0.1:1"] * (MOST_ADDRESSES + 1)), "has 101, not 1 to 100"),
        ('["nowhere"]', "missing port in address"),
        ('["127.0.0.1:4161", null]', "missing port in address"),
        ('["no.invalid:1"]', "no such host"),
        ('["http://127.0.0.1:1"]', "too many colons in address"),
        ("x", ""),
        ("[1]", ""),
        ('{"a":1}', ""),
        ("[" * 100_000, ""),
    ],
    ids=lambda value: value[:20] if isinstance(value, str) else "",
)
async def test_addresses_that_can_not_be_meant_change_nothing(
    world: World, body: str, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    lookupd = await world.lookupd(await world.nsqd(topic("t")))
    admin = await world.admin(lookupd)
    refused(await admin.ask("PUT", ADDRESSES, data=body), 400, "INVALID_VALUE")
    assert not why or any(line.startswith("CONFIG: ") and why in line for line in caplog.messages)
    assert (await admin.get(ADDRESSES)).json == [lookupd.address]
    assert (await admin.get("/api/topics")).json["topics"] == ["t"]


async def test_a_nsqadmin_of_nsqds_does_not_turn_to_nsqlookupds(world: World) -> None:
    admin = await world.admin(await world.nsqd(topic("t")))
    refused(await admin.ask("PUT", ADDRESSES, data=b'["127.0.0.1:1"]'), 400, "INVALID_VALUE")
    assert (await admin.get("/api/topics")).json["topics"] == ["t"]


async def test_other_methods_are_not_allowed(world: World) -> None:
    admin = await world.admin(await world.lookupd())
    answer = await admin.post("/config/log_level", data=b"debug")
    refused(answer, 405, "METHOD_NOT_ALLOWED")
    assert answer.headers["Allow"] == "GET, OPTIONS, PUT"


@pytest.mark.parametrize(
    ("options", "headers"),
    [
        ({"allow_config_from_cidr": "10.0.0.0/8"}, {}),
        ({"allow_config_from_cidr": ""}, {}),
        ({}, {"X-Forwarded-For": "8.8.8.8"}),
        ({}, {"X-Forwarded-Host": "admin.example.com"}),
        ({"allow_config_from_cidr": "10.0.0.0/8"}, {"X-Forwarded-For": "10.0.0.1"}),
    ],
)
async def test_who_is_not_near_may_neither_read_nor_set(
    world: World, options: dict[str, Any], headers: dict[str, str]
) -> None:
    admin = await world.admin(await world.lookupd(), **options)
    for method in ("GET", "PUT"):
        refused(
            await admin.ask(method, "/config/log_level", data=b"debug", headers=headers), 403, "FORBIDDEN"
        )
        refused(await admin.ask(method, "/config/nope", data=b"debug", headers=headers), 403, "FORBIDDEN")


async def test_a_page_of_another_site_can_not_set_anything(world: World) -> None:
    admin = await world.admin(await world.lookupd())
    answer = await admin.ask(
        "PUT", "/config/log_level", data=b"debug", headers={"Origin": "http://evil.example"}
    )
    refused(answer, 403, "CROSS_SITE")


async def test_who_comes_by_a_unix_socket_has_no_address_to_judge(world: World, tmp_path: Path) -> None:
    lookupd = await world.lookupd()
    socket = str(tmp_path / "admin.sock")
    admin = NsqAdmin(Options(http_address=socket, lookupd_http_addresses=[lookupd.address]))
    world.stack.push_async_callback(admin.stop)
    await admin.start()
    async with (
        aiohttp.ClientSession(connector=aiohttp.UnixConnector(socket)) as http,
        http.get("http://admin/config/log_level") as answer,
    ):
        assert (answer.status, await answer.json()) == (400, {"message": "INVALID_REMOTE_ADDR"})


async def test_it_lies_below_the_base_path(world: World) -> None:
    admin = await world.admin(await world.lookupd(), base_path="/nsq")
    assert (await admin.get("/nsq/config/log_level")).text == "2"
    assert (await admin.get("/config/log_level")).status == 404
