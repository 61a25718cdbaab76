"""The ``nsq`` command: which command is meant, and how one of our own is read and run."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

from nsqclient.cli.commands import AMBIGUOUS, Command, find, nearest
from nsqclient.cli.listing import listing
from nsqcore.standard_files import ensure_standard_files

if TYPE_CHECKING:
    import argparse

OK, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130
"""The exit statuses."""
HELP = ("-h", "-help", "--help", "help")
VERSION = ("-version", "--version", "version")
STATUSES = "Exit status: 0 done, 1 failed (the reason is on stderr), 2 not understood, 130 interrupted."


def program() -> int:
    """The program ``nsq``, with the arguments of this process."""
    return main(sys.argv[1:])


def main(argv: Sequence[str]) -> int:
    """Runs what ``argv`` says; returns the exit status, or raises SystemExit with it."""
    ensure_standard_files()
    word, rest = (argv[0], argv[1:]) if argv else ("help", [])
    if word in VERSION:
        from nsqcore.version import banner

        return _print(f"{banner('nsq')}\n")
    if word in HELP and not rest:
        return _print(listing(sys.stdout))
    wants_help = word in HELP
    word = rest[0] if wants_help else word
    command = find(word)
    if command is None:
        return _not_understood(word)
    module = import_module(command.module)
    if command.classic:
        return _tool(module.TOOL, command, rest, wants_help=wants_help)
    return _own(module, ["--help"] if wants_help else rest, command)


def _tool(tool: Any, command: Command, argv: Sequence[str], *, wants_help: bool) -> int:
    from nsqclient.tools.common.tool import run_tool
    from nsqclient.tools.common.usage import usage_of

    called = f"nsq {command.name}"
    if wants_help:
        return _print(usage_of(tool.about, tool.options, called))
    return run_tool(tool, argv, called=called)


def _not_understood(word: str) -> int:
    said = AMBIGUOUS.get(word)
    if said is None:
        near = nearest(word)
        said = f"{word!r} is no command"
        said += f"; did you mean 'nsq {near}'?" if near else "; 'nsq' lists all there are"
    sys.stderr.write(f"nsq: {said}\n")
    return USAGE


def _print(text: str) -> int:
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        _forget_output()
    return OK


def _forget_output() -> None:
    """Whoever read our output has gone; Python would complain once more when it flushes at the exit."""
    import os

    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


# ---- the commands that are no tools


def _parser(module: Any, command: Command) -> argparse.ArgumentParser:
    import argparse

    from nsqclient.cli.where import add_where

    top = argparse.ArgumentParser(prog="nsq", add_help=False)
    for sub, work in module.add_to(top.add_subparsers(required=True)):
        sub.formatter_class = argparse.RawDescriptionHelpFormatter
        sub.epilog = STATUSES if command.name != "run" else None
        sub.add_argument("-v", "--verbose", action="store_true", help="tell on stderr what goes on")
        sub.set_defaults(work=work)
        if module.NEEDS_TARGET:
            add_where(sub)
    return top


def _own(module: Any, argv: Sequence[str], command: Command) -> int:
    import asyncio

    from nsqclient.errors import ConfigError, NsqError

    args = _parser(module, command).parse_args([command.name, *argv])
    if args.verbose:
        import logging

        logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    try:
        result = args.work(args)
        status = asyncio.run(result) if asyncio.iscoroutine(result) else result
        sys.stdout.flush()
    except ConfigError as e:
        _say(e)
        return USAGE
    except (NsqError, TimeoutError) as e:
        _say(e)
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        _forget_output()
        return FAILED
    return int(status)


def _say(error: BaseException) -> None:
    sys.stderr.write(f"nsq: {error}\n")
