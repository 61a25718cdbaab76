"""What ``nsq`` alone prints: the commands in groups, for people who may never have seen NSQ."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TextIO

from nsqclient.cli.commands import COMMANDS, DAEMONS

ABOUT = """\
NSQ passes messages between programs. They are published to a topic at a daemon called nsqd; each channel of the
topic gets every message, and the consumers of one channel share them."""
EXAMPLES = """\
  nsqd &
  nsq pub greetings hello --nsqd-tcp-address=127.0.0.1:4150
  nsq tail greetings --channel=me --nsqd-tcp-address=127.0.0.1:4150"""
WHERE = """\
Where NSQ is, is told by --nsqd-tcp-address or --lookupd-http-address, or for all commands by the variable NSQ_URL:
  export NSQ_URL='nsqlookup://lookup-1:4161,lookup-2:4161?tls=require&compress=snappy'
  export NSQ_AUTH_SECRET=...        secrets never go into a URL"""
STATUSES = "Exit status: 0 done, 1 failed (the reason is on stderr), 2 not understood."
MORE = "'nsq help COMMAND' tells all about a command, with examples."


def listing(stream: TextIO) -> str:
    """The text, in colour if ``stream`` is a terminal that has some."""
    bold = _bold if _has_colour(stream) else str
    parts = ["Usage: nsq COMMAND ...", "", ABOUT, "", bold("Try it"), EXAMPLES]
    group = ""
    for command in COMMANDS:
        if command.group != group:
            group = command.group
            parts += ["", bold(group)]
        classic = f" ({command.classic})" if command.classic else ""
        parts.append(f"  {command.name:<11} {command.summary}{classic}")
    parts += ["", bold("Programs beside it, with --help of their own")]
    parts += [f"  {name:<11} {summary}" for name, summary in DAEMONS]
    return "\n".join([*parts, "", WHERE, "", STATUSES, MORE, ""])


def _has_colour(stream: TextIO) -> bool:
    return stream.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM", "dumb") != "dumb"


_bold: Callable[[str], str] = "\x1b[1m{}\x1b[0m".format
