"""The commands of ``nsq``: what each is for, and where it is. Nothing of them is imported before one is run."""

from __future__ import annotations

from typing import NamedTuple

WATCH, PASS_ON, PUBLISH = "Watch", "Archive and forward", "Publish"
APPS, LOOK_AFTER = "Run apps", "Look after"


class Command(NamedTuple):
    """One command."""

    name: str
    group: str
    summary: str
    """One line, without an end."""
    module: str
    """It has ``TOOL`` if the command is a tool, and ``add_to`` and ``NEEDS_TARGET`` otherwise."""
    classic: str = ""
    """The name of the program of its own that a tool has, too."""


COMMANDS = (
    Command(
        "tail", WATCH, "print the messages of a topic as they come", "nsqclient.tools.tail.tool", "nsq_tail"
    ),
    Command(
        "stat", WATCH, "show rates and depths of a topic's channels", "nsqclient.tools.stat.tool", "nsq_stat"
    ),
    Command(
        "to-file",
        PASS_ON,
        "archive topics in files, plain or compressed",
        "nsqclient.tools.to_file.tool",
        "nsq_to_file",
    ),
    Command(
        "to-http",
        PASS_ON,
        "make an HTTP request of each message",
        "nsqclient.tools.to_http.tool",
        "nsq_to_http",
    ),
    Command(
        "to-nsq", PASS_ON, "pass messages on to other nsqds", "nsqclient.tools.to_nsq.tool", "nsq_to_nsq"
    ),
    Command("pub", PUBLISH, "publish a message, or what comes from standard input", "nsqclient.cli.publish"),
    Command(
        "from-stdin",
        PUBLISH,
        "publish the lines of standard input",
        "nsqclient.tools.from_stdin.tool",
        "to_nsq",
    ),
    Command("run", APPS, "run the handlers of an app written in Python", "nsqclient.cli.run"),
    Command("dlq", LOOK_AFTER, "list, replay or drop dead letters", "nsqclient.cli.dead_letters"),
    Command("check", LOOK_AFTER, "connect to all nsqds and tell what was agreed", "nsqclient.cli.check"),
)
"""In the order of the list that people see."""
DAEMONS = (
    ("nsqd", "receives messages, keeps them, and delivers them"),
    ("nsqlookupd", "knows which nsqds have which topic"),
    ("nsqadmin", "shows them all in a browser, and acts on them"),
    ("nsq_to_ws", "pushes messages to browsers over WebSockets"),
)
"""Programs beside ``nsq``; each explains itself with --help."""
AMBIGUOUS = {
    "to_nsq": "to_nsq is two things: 'nsq from-stdin' publishes the records of its input, as the program to_nsq does;\n"
    "'nsq to-nsq' passes messages on from one nsqd to another, as nsq_to_nsq does",
}
"""Words that are no commands, and what to say of them."""


def find(word: str) -> Command | None:
    """The command of that name; a tool's classic name will do, and underscores for dashes."""
    if word in AMBIGUOUS:
        return None
    for command in COMMANDS:
        if word.replace("_", "-") == command.name or word == command.classic:
            return command
    return None


def nearest(word: str) -> str:
    """The name of the command that was probably meant; empty if none is near."""
    from difflib import get_close_matches  # needed for a mistake only

    names = [name for command in COMMANDS for name in (command.name, command.classic) if name]
    found = get_close_matches(word, names, n=1)
    return found[0] if found else ""
