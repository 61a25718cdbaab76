"""``python -m deploy.local up`` and ``python -m deploy.local demo``."""

from __future__ import annotations

import argparse
import asyncio
import itertools
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from pathlib import Path

from rich.console import Console

from deploy.local.demo import Demo, DemoOptions
from deploy.local.ports import BLOCK, MOST_LOOKUPDS, MOST_NSQD
from deploy.local.processes import StartFailed, kill_all
from deploy.local.records import BadInput
from deploy.local.up import Up, UpOptions

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_HIGHEST_BASE = 65_536 - BLOCK


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status 0 when all went well, 1 when not, 2 for bad arguments, 128 + n after signal n."""
    arguments = _parser().parse_args(argv)
    console = Console()
    try:
        folder = _folder(arguments.folder, arguments.command)
        work: Callable[[], Awaitable[bool]]
        if arguments.command == "up":
            work = Up(
                UpOptions(arguments.nsqd, arguments.nsqlookupd, arguments.base_port), folder, console
            ).run
        else:
            options = DemoOptions(
                arguments.data, arguments.nsqd, arguments.nsqlookupd, arguments.base_port, arguments.stall
            )
            work = Demo(options, folder, console).run
        return asyncio.run(_until_signal(work))
    except (BadInput, StartFailed) as e:
        print(f"deploy.local: {e}", file=sys.stderr)
        return 2 if isinstance(e, BadInput) else 1


async def _until_signal(work: Callable[[], Awaitable[bool]]) -> int:
    """Runs ``work``, which the first signal cancels; a second one kills the processes that still end."""
    task = asyncio.ensure_future(work())
    received: list[signal.Signals] = []

    def interrupt(number: signal.Signals) -> None:
        received.append(number)
        if len(received) == 1:
            print("\nStopping; once more kills what does not end.", file=sys.stderr)
            task.cancel()
        else:
            kill_all()

    loop = asyncio.get_running_loop()
    for number in _SIGNALS:
        loop.add_signal_handler(number, interrupt, number)
    try:
        return 0 if await task else 1
    except asyncio.CancelledError:
        return 128 + received[0]


def _folder(given: Path | None, command: str) -> Path:
    """A new folder for this run, or the one given; raises BadInput when it can't be used."""
    if given is None:
        stem = Path("run", f"{datetime.now().astimezone():%Y%m%d-%H%M%S}-{command}")
        names = (stem.with_name(f"{stem.name}-{number}") for number in itertools.count(2))
        given = next(folder for folder in itertools.chain([stem], names) if not folder.exists())
    try:
        given.mkdir(parents=True, exist_ok=True)
        if command == "demo" and any(given.iterdir()):
            raise BadInput(f"--folder {given}: has something in it; the demo wants a new one")
    except OSError as e:
        raise BadInput(f"--folder {given}: {e.strerror or e}") from e
    return given


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m deploy.local",
        description="nsqlookupd, nsqd and nsqadmin on this machine, as many as you like.",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name, words in (
        ("up", "start them, print their addresses, run until Ctrl-C"),
        ("demo", "publish many lines, consume them on two channels, account for each"),
    ):
        command = commands.add_parser(name, help=words, description=words)
        command.add_argument(
            "--nsqd", type=_number(1, MOST_NSQD), default=3, metavar="N", help="how many nsqd (default 3)"
        )
        command.add_argument(
            "--nsqlookupd",
            type=_number(1, MOST_LOOKUPDS),
            default=2,
            metavar="N",
            help="how many nsqlookupd (default 2)",
        )
        command.add_argument(
            "--base-port",
            type=_number(1, _HIGHEST_BASE),
            metavar="PORT",
            help="first of the block of ports (default: 4150, or the next free block after it)",
        )
        command.add_argument(
            "--folder", type=Path, help="where logs and data go (default: run/<time>-<command>)"
        )
    command.add_argument(
        "--data", type=Path, help="a file or folder to publish (default: the standard library's *.py)"
    )
    command.add_argument(
        "--stall",
        type=_number(1, 86_400),
        default=90,
        metavar="SECONDS",
        help="give up after so long without progress (default 90)",
    )
    return parser


def _number(lowest: int, highest: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        if not text.isascii() or not text.isdigit() or not lowest <= int(text) <= highest:
            raise argparse.ArgumentTypeError(f"{text!r} (want {lowest} to {highest})")
        return int(text)

    return number


if __name__ == "__main__":
    sys.exit(main())
