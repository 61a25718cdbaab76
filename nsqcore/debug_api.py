"""``/debug/*`` of nsqd and nsqlookupd: the originals' paths, answered with what helps who runs a Python process.

What these endpoints need is imported when one of them is asked for the first time.
"""

from __future__ import annotations

import asyncio
import re
import sys

from nsqcore.api_server import Endpoint, params_of
from nsqcore.golang import go_quote
from nsqcore.http_exchange import JSON_TYPE, TEXT_TYPE, Answer, Request, answer

_NO_SNIFF = ("X-Content-Type-Options", "nosniff")
_DEFAULT_PROFILE_S = 30
_LONGEST_PROFILE_S = 3600
_LAG_S = 1.0
"""How long the loop's delays are measured for ``block``."""


def endpoints(index: str) -> list[Endpoint]:
    """The endpoints that both daemons have; ``index`` is the path of the list of profiles."""
    under = index.rstrip("/")
    debug = _Debug()
    return [
        Endpoint("GET", index, debug.index, quiet=True),
        Endpoint("GET", f"{under}/cmdline", debug.cmdline, quiet=True),
        Endpoint("GET", f"{under}/symbol", debug.symbol, quiet=True),
        Endpoint("POST", f"{under}/symbol", debug.symbol, quiet=True),
        Endpoint("GET", f"{under}/profile", debug.profile, quiet=True),
        Endpoint("GET", f"{under}/heap", debug.heap, quiet=True),
        Endpoint("GET", f"{under}/goroutine", debug.goroutine, quiet=True),
        Endpoint("GET", f"{under}/block", debug.block, quiet=True),
        Endpoint("GET", f"{under}/threadcreate", debug.threadcreate, quiet=True),
        Endpoint("GET", f"{under}/gc", debug.gc, quiet=True),
    ]


def memory_endpoints() -> list[Endpoint]:
    """What nsqd has beside."""
    return [
        Endpoint("PUT", "/debug/setblockrate", set_block_rate, plain=True),
        Endpoint("POST", "/debug/freememory", free_memory, plain=True),
    ]


async def set_block_rate(request: Request) -> Answer | None:
    """Checks the rate as the original does; there is nothing to set, for ``block`` measures when it is asked."""
    rate = (await params_of(request)).get("rate", "")
    fault = "" if re.fullmatch("[+-]?[0-9]+", rate) else "invalid syntax"
    if not fault and (len(rate.lstrip("+-0")) > 19 or not -(1 << 63) <= int(rate) < 1 << 63):
        fault = "value out of range"
    if fault:
        quoted = go_quote(rate.encode("utf-8", "surrogateescape"))
        return answer(f"invalid block rate : strconv.Atoi: parsing {quoted}: {fault}", 400, plain=True)
    return None


async def free_memory(request: Request) -> None:
    """Collects garbage and gives free memory back to the system."""
    from nsqcore import introspection

    await asyncio.to_thread(introspection.free_memory)


class _Debug:
    """The profiles; at most one CPU profile at a time."""

    def __init__(self) -> None:
        self._profiling = False

    async def index(self, request: Request) -> Answer:
        """What there is, as a page."""
        rows = "".join(
            f'<tr><td><a href="/debug/pprof/{name}">{name}</a></td><td>{what}</td></tr>\n'
            for name, what in _PROFILES
        )
        page = (
            '<!DOCTYPE html>\n<html lang="en">\n<head><meta charset="utf-8"><title>/debug/pprof/</title></head>\n'
            f"<body>\n<h1>/debug/pprof/</h1>\n<table>\n{rows}</table>\n</body>\n</html>\n"
        )
        return Answer(200, page.encode(), (("Content-Type", "text/html; charset=utf-8"), _NO_SNIFF))

    async def cmdline(self, request: Request) -> Answer:
        """The command line, its words apart by NUL."""
        return _text("\0".join(sys.orig_argv))

    async def symbol(self, request: Request) -> Answer:
        """Addresses have no names here; tools that ask whether they do get the original's answer."""
        return _text("num_symbols: 1\n")

    async def profile(self, request: Request) -> Answer:
        """Where the CPU time of some seconds went: collapsed stacks, microseconds each."""
        from nsqcore.introspection import CpuSampler

        seconds = (await params_of(request)).get("seconds", "")
        wanted = int(seconds) if seconds.isascii() and seconds.isdigit() and len(seconds) < 10 else 0
        if self._profiling:
            return _text("Could not enable CPU profiling: cpu profiling already in use\n", 500)
        self._profiling = True
        sampler = CpuSampler()
        try:
            sampler.start()
            await request.body.hung_up(min(wanted or _DEFAULT_PROFILE_S, _LONGEST_PROFILE_S))
        finally:
            self._profiling = False
            sampler.stop()
        return _text(sampler.collapsed())

    async def heap(self, request: Request) -> Answer:
        """Memory: the process's, and that of its objects by type."""
        from nsqcore import introspection

        return _text(await asyncio.to_thread(introspection.memory))

    async def goroutine(self, request: Request) -> Answer:
        """The stacks of all tasks and threads; those alike together."""
        from nsqcore import introspection

        return _text(introspection.stacks())

    async def block(self, request: Request) -> Answer:
        """How long work waits for the loop."""
        from nsqcore import introspection

        return _text(introspection.delays(await introspection.measure_delays(_LAG_S)))

    async def threadcreate(self, request: Request) -> Answer:
        """The threads, and the CPU time of each."""
        from nsqcore import introspection

        return _text(introspection.threads())

    async def gc(self, request: Request) -> Answer:
        """What the garbage collector did and when it will do more."""
        from nsqcore import introspection

        data = answer(introspection.collector()).body
        return Answer(200, data, (("Content-Type", JSON_TYPE), _NO_SNIFF))


_PROFILES = (
    ("profile?seconds=30", "CPU time by stack, in microseconds, collapsed: input of flame graph tools"),
    ("heap", "memory of the process, objects by type; allocations by line when PYTHONTRACEMALLOC is set"),
    ("goroutine", "stacks of all tasks and threads"),
    ("block", "how long work waits for the event loop, measured for a second"),
    ("threadcreate", "threads and their CPU time"),
    ("gc", "state of the garbage collector, JSON"),
    ("cmdline", "the command line, words apart by NUL"),
    ("symbol", "for tools that look for it; there are no symbols"),
)


def _text(text: str, status: int = 200) -> Answer:
    headers = (("Content-Type", TEXT_TYPE), _NO_SNIFF)
    return Answer(status, text.encode("utf-8", "backslashreplace"), headers)
