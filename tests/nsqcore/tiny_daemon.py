"""A daemon of a few lines, for tests of what every daemon shares: ``python -m tests.nsqcore.tiny_daemon``.

Its flags say how it behaves: ``--mode`` is ``serve``, ``reload`` (it obeys SIGHUP), ``refuse`` (the start fails),
``unreadable`` (it fails at something in particular), ``hang`` (it never comes back) or ``fail`` (it gives up after the
start); ``--start-time`` and ``--stop-time`` are how long it takes to start and to end.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
from dataclasses import dataclass

from nsqcore import runner
from nsqcore.api_server import Api, Endpoint
from nsqcore.command_line import CommandLine
from nsqcore.durations import Duration
from nsqcore.errors import StartError
from nsqcore.http_connection import HttpServer
from nsqcore.http_exchange import Request
from nsqcore.listeners import address_of, bind_tcp, serve
from nsqcore.logs import LogFormat, LogLevel
from nsqcore.options import option

log = logging.getLogger(__name__)


@dataclass
class Options:
    log_level: LogLevel = option(LogLevel("INFO"), "level", parse=LogLevel.parse)
    log_prefix: str = option("[tiny] ", "prefix")
    log_format: LogFormat = option(LogFormat("text"), "format", parse=LogFormat.parse)
    mode: str = option("serve", "serve, reload, refuse, unreadable, hang or fail")
    start_time: Duration = option(Duration(0), "how long it takes to start")
    stop_time: Duration = option(Duration(0), "how long it takes to stop")


class Tiny:
    def __init__(self, options: Options) -> None:
        self.options = options
        self.failed = asyncio.Event()
        self.http = HttpServer(Api([Endpoint("GET", "/ping", self.ping)]).respond)
        self.accepting: asyncio.Server | None = None

    async def ping(self, request: Request) -> str:
        return "OK"

    async def start(self) -> None:
        log.info("starting")
        await asyncio.sleep(self.options.start_time.seconds)
        if self.options.mode == "refuse":
            raise StartError("it doesn't want to")
        if self.options.mode == "unreadable":
            raise StartError("it is all Greek", task="read the book")
        if self.options.mode == "hang":
            hang_for_ever()
        listener = bind_tcp("127.0.0.1:0")
        self.accepting = await serve(self.http, listener)
        log.info("HTTP: listening on %s", address_of(listener))
        if self.options.mode == "fail":
            self.failed.set()

    async def stop(self) -> None:
        log.info("stopping")
        await asyncio.sleep(self.options.stop_time.seconds)
        if self.accepting is not None:
            self.accepting.close()
        await self.http.close()
        log.info("bye")


def hang_for_ever() -> None:
    """A lock that is never released, as a loop hangs that calls something blocking."""
    lock = threading.Lock()
    lock.acquire()
    log.info("hanging")
    lock.acquire()


class Reloading(Tiny):
    def reload(self) -> None:
        log.info("reloading")


def main() -> int:
    options: Options = CommandLine("tiny", Options, about="It does little.").load(sys.argv[1:])
    return runner.run("tiny", lambda: (Reloading if options.mode == "reload" else Tiny)(options))


if __name__ == "__main__":
    sys.exit(main())
