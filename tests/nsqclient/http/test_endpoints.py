"""The daemons' endpoints, as the page on compatibility lists them, and the methods that ask them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, get_args

import pytest

from nsqclient import ApiError
from nsqclient.http import Lookupd, Nsqd
from nsqclient.http.api import Api, Profile
from tests.docs.page import items

VALUES: dict[str, Any] = {
    "topic": "t",
    "channel": "c",
    "body": b"x",
    "bodies": [b"x"],
    "option": "log_level",
    "level": "info",
    "addresses": ["127.0.0.1:4160"],
    "rate": 1,
    "node": "127.0.0.1:4151",
}
NOT_FOR_PROGRAMS = {"GET /debug/pprof/", "POST /debug/pprof/symbol"}
"""A page for people, and a way to ask the same that is as good as another; ``fetch`` reaches both."""
OWN = set(vars(Api)) - {"profile"}
"""What all have in common, which asks nothing by itself."""


@pytest.mark.parametrize(("api", "daemon"), [(Nsqd, "nsqd"), (Lookupd, "nsqlookupd")])
async def test_every_endpoint_has_a_method(
    api: type[Nsqd | Lookupd], daemon: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = set()

    async def fetch(self: Api, method: str, path: str, body: bytes | None = None, **params: str) -> None:
        asked.add(
            f"{method} {path.replace('/log_level', '/{opt}').replace('/nsqlookupd_tcp_addresses', '/{opt}')}"
        )
        raise ApiError("asked", "and noted")

    monkeypatch.setattr(Api, "fetch", fetch)
    async with api("127.0.0.1:1") as client:
        for name, function in inspect.getmembers(client, inspect.iscoroutinefunction):
            if not name.startswith("_") and name not in OWN:
                for arguments in _arguments(name, function):
                    with pytest.raises(ApiError):
                        await function(**arguments)
    assert set(items(f"{daemon}: HTTP endpoints")) - asked == NOT_FOR_PROGRAMS


def _arguments(name: str, function: Callable[..., object]) -> list[dict[str, Any]]:
    if name == "profile":
        return [{"name": each} for each in get_args(Profile)]
    wanted = inspect.signature(function).parameters.values()
    return [{each.name: VALUES[each.name] for each in wanted if each.default is each.empty}]
