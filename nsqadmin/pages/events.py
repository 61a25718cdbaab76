"""Tells browsers that there is something new: server-sent events, one for each sample of the cluster."""

from __future__ import annotations

import asyncio
import json

from aiohttp import web

from nsqadmin.history.series import History
from nsqadmin.web.http_server import Route
from nsqcore.errors import HttpError

MOST = 500
"""Streams at a time: each is an open tab, and costs a connection and a task."""
QUIET_S = 15.0
"""A comment is sent after so long without a sample, so that proxies keep the connection."""
WRITE_S = 10.0
"""Who does not take a hundred bytes in this time is not there any more."""
RETRY_MS = 2000


class Events:
    """``GET /events``: a ``sample`` event with its number and its time (Unix seconds).

    A page then asks for itself anew: what it may show, and to whom, is decided in one place.
    """

    def __init__(self, history: History) -> None:
        self.history = history
        self._open = 0
        self._ending = asyncio.Event()

    def routes(self) -> list[Route]:
        """The one route, without the base path."""
        return [Route("GET", "/events", self.stream, quiet=True)]

    def close(self) -> None:
        """Ends all streams; browsers come back when nsqadmin does."""
        self._ending.set()

    async def stream(self, request: web.Request) -> web.StreamResponse:
        """Events until the browser leaves or nsqadmin ends; raises HttpError 503 when there are too many."""
        if self._open >= MOST:
            raise HttpError(503, f"TOO_MANY_STREAMS: {MOST} pages are kept current already")
        response = web.StreamResponse(
            headers={
                "Content-Type": "text/event-stream",
                "Cache-Control": "no-store",
                "X-Accel-Buffering": "no",  # nginx would gather events
            }
        )
        self._open += 1
        ending = asyncio.create_task(self._ending.wait())
        try:
            await response.prepare(request)
            await self._write(response, f"retry: {RETRY_MS}\n\n")
            await self._samples(response, ending)
        except (ConnectionError, TimeoutError):
            pass  # the tab was closed, or its machine went to sleep
        finally:
            ending.cancel()
            self._open -= 1
        return response

    async def _samples(self, response: web.StreamResponse, ending: asyncio.Task[bool]) -> None:
        number = 0
        while not ending.done():
            sample = asyncio.ensure_future(self.history.next(number))
            try:
                await asyncio.wait((sample, ending), timeout=QUIET_S, return_when=asyncio.FIRST_COMPLETED)
                if sample.done():
                    found = sample.result()
                    number = found.number
                    data = json.dumps({"number": number, "at": round(found.at, 3)})
                    await self._write(response, f"id: {number}\nevent: sample\ndata: {data}\n\n")
                elif not ending.done():
                    await self._write(response, ": nothing new\n\n")
            finally:
                sample.cancel()

    async def _write(self, response: web.StreamResponse, text: str) -> None:
        async with asyncio.timeout(WRITE_S):
            await response.write(text.encode())
