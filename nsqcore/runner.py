"""Runs one daemon as a process: start it, wait for a signal or a failure, stop it, exit status."""

from __future__ import annotations

import asyncio
import faulthandler
import resource
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol, runtime_checkable

import uvloop

from nsqcore import logs
from nsqcore.errors import StartError

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_IGNORED = (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
"""What would kill a process that does not mind them, and with it the messages in its memory.
SIGHUP means something to a Reloadable daemon."""
DUMPED = 2
"""The exit status after SIGQUIT, which is that of a Go program that was told to dump its stacks."""


class Daemon(Protocol):
    """What :func:`run` needs of a daemon."""

    @property
    def failed(self) -> asyncio.Event:
        """Set by the daemon when it can't go on; it is then stopped, and the process exits with status 1."""

    async def start(self) -> None:
        """Serves when it returns; raises StartError when it can't."""

    async def stop(self) -> None:
        """Ends in order, losing nothing; a second call waits for the first."""


@runtime_checkable
class Reloadable(Protocol):
    """What a daemon is that obeys SIGHUP."""

    def reload(self) -> None:
        """Reads its files again. Called inside the loop, from before the start until the very end."""


def run(program: str, make: Callable[[], Daemon]) -> int:
    """Runs the daemon that ``make`` builds (inside the loop) until SIGINT, SIGTERM, SIGQUIT or a failure.

    Returns the exit status: 0 after a signal, 1 when the start or the daemon failed. SIGQUIT first writes
    the stacks of all threads and tasks to stderr, and its status is 2. Signals that arrive while it starts
    are obeyed when it has started; further ones while it stops change nothing, and this process ignores
    them from then on: it is expected to end. SIGHUP makes a daemon reload that is Reloadable.
    """
    raise_file_limit()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_serve(program, make))


def raise_file_limit() -> None:
    """Every client and every queue with a backlog needs a descriptor: take as many as the system lets us."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


async def _serve(program: str, make: Callable[[], Daemon]) -> int:
    loop = asyncio.get_running_loop()
    signalled = asyncio.Event()
    status = 0

    def quit_with_stacks() -> None:
        nonlocal status
        status = DUMPED
        dump_tasks()
        signalled.set()

    # Not the loop's own handlers: those go back to "kill" while the loop closes, and a second signal in
    # the last moments of the process would make a clean exit look like a crash.
    for number in _SIGNALS:
        signal.signal(number, lambda *_: loop.call_soon_threadsafe(signalled.set))
    for number in _IGNORED:
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGQUIT, lambda *_: loop.call_soon_threadsafe(quit_with_stacks))
    # Before that handler, and even when the loop hangs, which may be why somebody asks.
    faulthandler.register(signal.SIGQUIT, all_threads=True, chain=True)
    try:
        daemon = make()
        if isinstance(daemon, Reloadable):
            reload = daemon.reload
            signal.signal(signal.SIGHUP, lambda *_: loop.call_soon_threadsafe(reload))
        return await _serve_until(signalled, program, daemon) or status
    finally:
        faulthandler.unregister(signal.SIGQUIT)
        for number in (*_SIGNALS, signal.SIGQUIT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)


async def _serve_until(signalled: asyncio.Event, program: str, daemon: Daemon) -> int:
    try:
        await daemon.start()
    except StartError as e:
        logs.fatal(program, f"failed to {e.task or f'instantiate {program}'} - {e}")
        await daemon.stop()
        return 1
    waits = [asyncio.ensure_future(event.wait()) for event in (signalled, daemon.failed)]
    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    for wait in waits:
        wait.cancel()
    await daemon.stop()
    return 1 if daemon.failed.is_set() else 0


def dump_tasks() -> None:
    """Writes the stack of every task of the running loop to stderr."""
    for task in sorted(asyncio.all_tasks(), key=lambda task: task.get_name()):
        task.print_stack(file=sys.stderr)
    sys.stderr.flush()
