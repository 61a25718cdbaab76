"""nsqadmin before nsqds that answer over TLS only."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.nsqadmin.world import World
from tests.support.nsqd import Node
from tests.support.tls import Authority

Flags = dict[str, Any]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
async def nsqd(tmp_path: Path, authority: Authority) -> AsyncIterator[Node]:
    """It wants TLS, and a certificate of its authority from whoever asks."""
    policy = "--tls-client-auth-policy=require-verify"
    async with Node(tmp_path, *authority.flags, authority.ca_flag, policy) as node:
        yield node


def _address(nsqd: Node) -> str:
    return "{}:{}".format(*nsqd.http)


def _trusted(folder: Path) -> Flags:
    return {
        "http_client_tls_root_ca_file": str(folder / "ca.pem"),
        "http_client_tls_cert": str(folder / "server.pem"),
        "http_client_tls_key": str(folder / "server.key"),
    }


def _believing(folder: Path) -> Flags:
    return _trusted(folder) | {
        "http_client_tls_root_ca_file": "",
        "http_client_tls_insecure_skip_verify": True,
    }


@pytest.mark.parametrize("flags", [_trusted, _believing])
async def test_a_nsqd_that_requires_tls_is_asked_and_told(
    world: World,
    nsqd: Node,
    authority: Authority,
    flags: Callable[[Path], Flags],
) -> None:
    admin = await world.admin(nsqd_http_addresses=[_address(nsqd)], **flags(authority.folder))
    assert (await admin.post("/api/topics", json={"topic": "t", "channel": "c"})).status == 200
    answer = await admin.get("/api/topics")
    assert answer.json == {"topics": ["t"], "message": ""}
    assert (await admin.get("/topics/t/c")).status == 200


@pytest.mark.parametrize(
    ("flags", "why"),
    [
        ({}, "certificate verify failed"),
        ({"http_client_tls_root_ca_file": "ca.pem"}, ""),
    ],
    ids=["its authority is unknown", "no certificate for it"],
)
async def test_a_handshake_that_fails_is_told_on_the_page_and_in_the_api(
    world: World, nsqd: Node, authority: Authority, flags: Flags, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(authority.folder)
    admin = await world.admin(nsqd_http_addresses=[_address(nsqd)], **flags)
    answer = await admin.get("/api/nodes")
    assert answer.status == 502
    assert answer.json["message"].startswith(
        f"UPSTREAM_ERROR: failed to query any nsqd: nsqd {_address(nsqd)}: {why}"
    )
    page = await admin.get("/topics/t")
    assert page.status == 502
    assert _address(nsqd) in page.text
