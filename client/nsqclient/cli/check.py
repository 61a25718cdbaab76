"""``check``: whether all nodes can be reached, and what they agree to."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from typing import Any

from nsqclient.cli.where import where
from nsqclient.connection.state import Agreement
from nsqclient.errors import ConnectError, NoNodes, NsqError
from nsqclient.producer.producer import Producer

NEEDS_TARGET = True
ABOUT = """\
Connects to every nsqd, with TLS, compression and secret as configured, and prints what was agreed.

  nsq check --lookupd http://127.0.0.1:4161

A line for each nsqd, with its address, ok or failed, and then what was agreed or what failed. The status is 0
if all are ok, and 1 if one is not or none is known.
"""


def add_to(commands: Any) -> Iterator[tuple[argparse.ArgumentParser, Callable[..., Any]]]:
    """Its arguments, and what does it."""
    parser = commands.add_parser(
        "check", help="connect to all nodes and tell what was agreed", description=ABOUT
    )
    parser.add_argument("--timeout", type=float, default=5.0, metavar="SECONDS", help="in all; default 5")
    yield parser, check


async def check(args: argparse.Namespace) -> int:
    """Does it; returns the exit status."""
    async with Producer(where(args), timeout=args.timeout, close_timeout=0) as producer:
        try:
            agreed = await producer.check()
        except NoNodes:
            if not producer.nodes:  # it says why none is known
                raise
            agreed = {}
        bad = 0
        for node in producer.nodes:
            if node.address in agreed:
                sys.stdout.write(f"{node.address} ok {describe(agreed[node.address])}\n")
            else:
                bad += 1
                sys.stdout.write(f"{node.address} failed {_why(node.last_error, args.timeout)}\n")
    return 1 if bad or not agreed else 0


def _why(error: NsqError | None, timeout: float) -> str:
    if error is None:
        return f"no answer within {timeout:g} s"
    return error.reason if isinstance(error, ConnectError) else str(error)


def describe(agreement: Agreement) -> str:
    """What was agreed, as ``name=value`` words."""
    compression = "snappy" if agreement.snappy else "deflate" if agreement.deflate else "none"
    return (
        f"version={agreement.version or 'unknown'} tls={'yes' if agreement.tls else 'no'}"
        f" compression={compression} auth={'yes' if agreement.auth_required else 'no'}"
        f" msg_timeout={agreement.msg_timeout:g}s max_msg_timeout={agreement.max_msg_timeout:g}s"
        f" max_rdy_count={agreement.max_rdy_count}"
    )
