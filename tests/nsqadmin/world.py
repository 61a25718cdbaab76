"""A nsqadmin over fake daemons, and a visitor who asks it."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import aiohttp
from multidict import CIMultiDictProxy
from yarl import URL

from nsqadmin.daemon import NsqAdmin
from nsqadmin.options import Options
from nsqcore.durations import Duration
from tests.nsqadmin.page import Page
from tests.support.fake_cluster import FakeLookupd, FakeNsqd, Json

PATIENCE_S = 20.0


@dataclass(frozen=True)
class Answer:
    """What nsqadmin answered."""

    status: int
    text: str
    headers: CIMultiDictProxy[str]
    cookies: dict[str, str]

    @property
    def json(self) -> Any:
        return json.loads(self.text)

    @property
    def page(self) -> Page:
        return Page(self.text)


class Visitor:
    """Asks one nsqadmin. Paths are sent as they are written, escapes included; no cookies are kept."""

    def __init__(self, http: aiohttp.ClientSession, base: str) -> None:
        self.http = http
        self.base = base

    async def ask(self, method: str, path: str, **request: Any) -> Answer:
        url = URL(self.base + path, encoded=True)
        async with self.http.request(method, url, allow_redirects=False, **request) as response:
            cookies = {name: morsel.value for name, morsel in response.cookies.items()}
            return Answer(response.status, await response.text(), response.headers, cookies)

    async def get(self, path: str, **request: Any) -> Answer:
        return await self.ask("GET", path, **request)

    async def until(self, path: str, text: str) -> Answer:
        """The page at ``path`` once it has ``text``, which a later sample brings."""
        async with asyncio.timeout(PATIENCE_S):
            while text not in (answer := await self.get(path)).page.words:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        return answer

    async def post(self, path: str, **request: Any) -> Answer:
        return await self.ask("POST", path, **request)

    async def confirm(self, path: str, **fields: str) -> Answer:
        """Opens a question and says yes, as a browser does; ``fields`` are typed into its form.

        A name that has to be typed is typed by itself.
        """
        question = await self.get(path)
        assert question.status == 200, question.page.headings
        form = question.page.fields
        if "typed" in form:
            fields = {"typed": form.get("channel") or form["topic"]} | fields
        return await self.post(
            path.partition("?")[0],
            data=form | fields,
            headers={"Origin": self.base.rstrip("/")},
            cookies=question.cookies,
        )


class World:
    """Makes daemons, and ends them all at the end."""

    def __init__(self, stack: AsyncExitStack, http: aiohttp.ClientSession) -> None:
        self.stack = stack
        self.http = http
        self.admins: list[NsqAdmin] = []
        """Those that run, in the order they were made."""

    async def nsqd(
        self, *topics: Json, hostname: str = "host", version: str = "1.3.0", **info: Any
    ) -> FakeNsqd:
        """A nsqd that runs."""
        nsqd = FakeNsqd(*topics, hostname=hostname, version=version, **info)
        await nsqd.start()
        self.stack.push_async_callback(nsqd.stop)
        return nsqd

    async def lookupd(self, *nodes: FakeNsqd, registered: dict[str, list[str]] | None = None) -> FakeLookupd:
        """A nsqlookupd that runs, and knows ``nodes``."""
        lookupd = FakeLookupd(*nodes, registered=registered)
        await lookupd.start()
        self.stack.push_async_callback(lookupd.stop)
        return lookupd

    async def admin(self, *asked: FakeLookupd | FakeNsqd, **options: Any) -> Visitor:
        """A nsqadmin that was told to ask ``asked``, and waits little for them."""
        given: dict[str, Any] = {
            "http_address": "127.0.0.1:0",
            "lookupd_http_addresses": [d.address for d in asked if isinstance(d, FakeLookupd)],
            "nsqd_http_addresses": [d.address for d in asked if isinstance(d, FakeNsqd)],
            "http_client_request_timeout": Duration.parse("2s"),
            "sample_interval": Duration.parse("200ms"),
        }
        admin = NsqAdmin(Options(**given | options))
        self.stack.push_async_callback(admin.stop)
        await admin.start()
        self.admins.append(admin)
        return Visitor(self.http, f"http://{admin.address}")
