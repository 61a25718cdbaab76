"""The command line: what may be given, in words that teach, and which command does it."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys
from collections.abc import Sequence
from typing import Any

from nsqclient.cli import check, dead_letters, publish, run, tail
from nsqclient.cli.where import add_where
from nsqclient.errors import ConfigError, NsqError
from nsqcore.version import suite_version

OK, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130
"""The exit statuses."""

ABOUT = """\
Works with NSQ from the command line.

  python -m nsqclient pub orders '{"name": "book"}' --nsqd 127.0.0.1:4150
  seq 1000 | python -m nsqclient pub numbers - --lookupd http://127.0.0.1:4161
  python -m nsqclient tail orders | grep book
  python -m nsqclient run shop:app --workers 4
  python -m nsqclient dlq replay orders.dead
  python -m nsqclient check

Where nsqd or nsqlookupd is, is told by --nsqd, --lookupd or --url, else by the variable NSQ_URL:

  export NSQ_URL='nsqlookup://lookup-1:4161,lookup-2:4161?tls=require&compress=snappy'
  export NSQ_AUTH_SECRET=...       secrets never go into a URL
"""
STATUSES = """\
Exit status: 0 done, 1 failed (the reason is on stderr), 2 not understood, 130 interrupted.
'python -m nsqclient COMMAND --help' tells more about a command."""


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    top = argparse.ArgumentParser(
        prog="python -m nsqclient",
        description=ABOUT,
        epilog=STATUSES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=f"nsqclient {suite_version()}")
    commands = top.add_subparsers(metavar="COMMAND", required=True)
    for module in (run, publish, tail, dead_letters, check):
        command: Any = module
        for sub, work in command.add_to(commands):
            sub.formatter_class = argparse.RawDescriptionHelpFormatter
            sub.add_argument("-v", "--verbose", action="store_true", help="tell on stderr what goes on")
            sub.set_defaults(work=work)
            if command.NEEDS_TARGET:
                add_where(sub)
    return top


def main(argv: Sequence[str]) -> int:
    """Runs what ``argv`` says; returns the exit status."""
    args = parser().parse_args(argv)
    if args.verbose:
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
        # whoever read our output has gone; Python would complain once more when it flushes at the exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    return int(status)


def _say(error: BaseException) -> None:
    sys.stderr.write(f"nsqclient: {error}\n")
