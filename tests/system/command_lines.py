"""What the tools say to command lines, good and bad: a table that holds for the originals and for ours.

A line names the text that must be on stderr (its first line; for runs that get as far as to connect, any
line), without the date in front, and the exit status. Where ours differs on purpose, ``original`` tells what
the original does: ``RUNS`` when it takes the mistake for good and goes to work.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

TOOLS = ("nsq_tail", "nsq_to_file", "nsq_to_http", "nsq_to_nsq", "nsq_stat", "to_nsq")


class Runs(Enum):
    """The original takes the mistake for good."""

    RUNS = "runs"


RUNS = Runs.RUNS


@dataclass(frozen=True)
class Says:
    """How a run ends: its status, and a text on stderr; ``out`` is all of stdout."""

    status: int
    text: str
    out: str = ""


@dataclass(frozen=True)
class CommandLine:
    """One line of the table."""

    tool: str
    args: tuple[str, ...]
    ours: Says
    original: Says | Runs | None = None
    """None: as ours."""
    later: bool = False
    """The text need not come first."""

    def __str__(self) -> str:
        return " ".join((self.tool, *self.args))


NSQD = "--nsqd-tcp-address=127.0.0.1:1"
LOOKUPD = "--lookupd-http-address=127.0.0.1:1"
TARGET = "--destination-nsqd-tcp-address=127.0.0.1:1"
POST = "--post=http://127.0.0.1:1/"
GET = "--get=http://127.0.0.1:1/%s"
NODE = "--nsqd-http-address=127.0.0.1:1"
NO_SOURCE = "--nsqd-tcp-address or --lookupd-http-address required"
TWO_SOURCES = "use --nsqd-tcp-address or --lookupd-http-address not both"
NO_TOPIC_OR_CHANNEL = "--topic and --channel are required"
NO_OPTION = 'invalid value "nosuch,1" for flag -{}-opt: invalid option nosuch'
NO_HEADER = "--header value format should be 'key=value'"


def check(tool: str, args: tuple[str, ...], text: str) -> CommandLine:
    """A check that fails in both."""
    return CommandLine(tool, args, Says(1, text))


def bad(tool: str, args: tuple[str, ...], text: str) -> CommandLine:
    """A flag or a value that is bad in both."""
    return CommandLine(tool, args, Says(2, text))


def _every_tool(tool: str) -> list[CommandLine]:
    """What holds for all of them."""
    named = Says(0, f"Usage of {tool}:")
    original = Says(0, "Usage of nsqd:") if tool == "nsq_to_file" else None
    lines = [
        CommandLine(tool, ("--help",), named, original),
        CommandLine(tool, ("-h",), named, original),
        bad(tool, ("--nosuch",), "flag provided but not defined: -nosuch"),
        bad(tool, ("-nosuch=1", "--help"), "flag provided but not defined: -nosuch"),
        bad(tool, ("---x",), "bad flag syntax: ---x"),
        bad(tool, ("-=3",), "bad flag syntax: -=3"),
        bad(tool, ("--topic",), "flag needs an argument: -topic"),
    ]
    version = Says(0, "", f"{tool} v1.3.0\n")
    if tool == "to_nsq":
        without = Says(2, "flag provided but not defined: -version")
        return [*lines, CommandLine(tool, ("--version",), version, without)]
    return [
        *lines,
        CommandLine(tool, ("--version",), version),
        CommandLine(tool, ("-version=true", "--topic", "t"), version),
        bad(tool, ("--version=maybe",), 'invalid boolean value "maybe" for -version: parse error'),
    ]


_TO_FILE = [
    check("nsq_to_file", ("extra", "more"), "unknown arguments: [extra more]"),
    check("nsq_to_file", ("-",), "unknown arguments: [-]"),
    check("nsq_to_file", ("--log-level=loud",), "--log-level is invalid"),
    check("nsq_to_file", ("--log-level=loud", "--version"), "--log-level is invalid"),
    CommandLine("nsq_to_file", ("--log-level=WARN", "--version"), Says(0, "", "nsq_to_file v1.3.0\n")),
    check("nsq_to_file", ("--channel=", "--http-client-connect-timeout=0"), "--channel is required"),
    check(
        "nsq_to_file",
        ("--http-client-connect-timeout=0", "--http-client-request-timeout=0"),
        "--http-client-connect-timeout should be positive",
    ),
    check(
        "nsq_to_file",
        ("--http-client-request-timeout=-1s",),
        "--http-client-request-timeout should be positive",
    ),
    check("nsq_to_file", ("--gzip-level=0",), f"{NO_SOURCE}."),
    check("nsq_to_file", (NSQD, LOOKUPD), TWO_SOURCES),
    check("nsq_to_file", (NSQD, "--gzip-level=0"), "invalid --gzip-level value (0), should be 1-9"),
    check("nsq_to_file", (NSQD, "--gzip-level=10"), "invalid --gzip-level value (10), should be 1-9"),
    check("nsq_to_file", (NSQD,), "--topic or --topic-pattern required"),
    check(
        "nsq_to_file",
        (NSQD, "--topic-pattern=x"),
        "--lookupd-http-address must be specified when no --topic specified",
    ),
    bad("nsq_to_file", ("--gzip-level=x",), 'invalid value "x" for flag -gzip-level: parse error'),
    bad("nsq_to_file", ("--rotate-size=x",), 'invalid value "x" for flag -rotate-size: parse error'),
    bad("nsq_to_file", ("--sync-interval=5",), 'invalid value "5" for flag -sync-interval: parse error'),
    CommandLine(
        "nsq_to_file",
        (NSQD, "--topic=t", "--consumer-opt=nosuch,1"),
        Says(2, NO_OPTION.format("consumer")),
        RUNS,
    ),
]

_TO_HTTP = [
    check("nsq_to_http", (), NO_TOPIC_OR_CHANNEL),
    check("nsq_to_http", ("--topic=t", "--channel="), NO_TOPIC_OR_CHANNEL),
    check("nsq_to_http", ("--header=x",), NO_HEADER),
    check("nsq_to_http", ("--header=:v",), NO_HEADER),
    check("nsq_to_http", ("--header=n:",), NO_HEADER),
    check("nsq_to_http", ("--topic=t", "--content-type=text/plain"), "--content-type only used with --post"),
    check("nsq_to_http", ("--topic=t", "--content-type=a/b", GET), "--content-type only used with --post"),
    check("nsq_to_http", ("--topic=t", "--content-type=", POST), "--content-type requires a value when used"),
    check("nsq_to_http", ("--topic=t", POST), NO_SOURCE),
    check("nsq_to_http", ("--topic=t", NSQD, LOOKUPD), TWO_SOURCES),
    check("nsq_to_http", ("--topic=t", NSQD), "--get or --post required"),
    check("nsq_to_http", ("--topic=t", NSQD, GET, POST), "use --get or --post not both"),
    check(
        "nsq_to_http",
        ("--topic=t", NSQD, "--get=http://127.0.0.1:1/"),
        "invalid GET address - must be a printf string",
    ),
    check(
        "nsq_to_http",
        ("--topic=t", NSQD, "--get=http://127.0.0.1:1/%s%s"),
        "invalid GET address - must be a printf string",
    ),
    check(
        "nsq_to_http",
        ("--topic=t", NSQD, GET, "--sample=1.1"),
        "ERROR: --sample must be between 0.0 and 1.0",
    ),
    check(
        "nsq_to_http",
        ("--topic=t", NSQD, POST, "--sample=-0.1"),
        "ERROR: --sample must be between 0.0 and 1.0",
    ),
    bad("nsq_to_http", ("--sample=x",), 'invalid value "x" for flag -sample: parse error'),
    bad("nsq_to_http", ("-n", "x"), 'invalid value "x" for flag -n: parse error'),
    bad("nsq_to_http", ("--consumer-opt=nosuch,1",), NO_OPTION.format("consumer")),
    CommandLine(
        "nsq_to_http", ("--topic=bad t", NSQD, POST), Says(1, "invalid topic name"), None, later=True
    ),
]

_TO_NSQ = [
    check("nsq_to_nsq", (), NO_TOPIC_OR_CHANNEL),
    check("nsq_to_nsq", ("--topic=t", "--channel="), NO_TOPIC_OR_CHANNEL),
    check("nsq_to_nsq", ("--topic=t", "--topic=bad t"), "--topic is invalid"),
    check("nsq_to_nsq", ("--topic=t", "--destination-topic=bad t"), "--destination-topic is invalid"),
    check("nsq_to_nsq", ("--topic=t", "--channel=bad c"), "--channel is invalid"),
    check("nsq_to_nsq", ("--topic=t",), NO_SOURCE),
    check("nsq_to_nsq", ("--topic=t", NSQD, LOOKUPD), TWO_SOURCES),
    check("nsq_to_nsq", ("--topic=t", NSQD), "--destination-nsqd-tcp-address required"),
    bad("nsq_to_nsq", ("--max-in-flight=x",), 'invalid value "x" for flag -max-in-flight: parse error'),
    bad("nsq_to_nsq", ("--producer-opt=nosuch,1",), NO_OPTION.format("producer")),
    bad("nsq_to_nsq", ("--consumer-opt=nosuch,1",), NO_OPTION.format("consumer")),
]

_TAIL = [
    check("nsq_tail", (), NO_SOURCE),
    check("nsq_tail", ("--topic=t",), NO_SOURCE),
    check("nsq_tail", ("--topic=t", NSQD, LOOKUPD), TWO_SOURCES),
    check("nsq_tail", (NSQD,), "--topic required"),
    CommandLine("nsq_tail", ("--topic=bad t", NSQD), Says(1, "invalid topic name"), None, later=True),
    CommandLine(
        "nsq_tail",
        ("--topic=t", "--lookupd-http-address=127.0.0.1"),
        Says(1, "127.0.0.1 is not a nsqlookupd address, such as http://host:4161: missing port"),
        Says(1, "missing port"),
        later=True,
    ),
    bad("nsq_tail", ("-n", "x"), 'invalid value "x" for flag -n: parse error'),
    bad("nsq_tail", ("--max-in-flight",), "flag needs an argument: -max-in-flight"),
    bad("nsq_tail", ("--consumer-opt=nosuch,1",), NO_OPTION.format("consumer")),
    bad(
        "nsq_tail",
        ("--consumer-opt=nosuch",),
        'invalid value "nosuch" for flag -consumer-opt: invalid option nosuch',
    ),
]

_FROM_STDIN = [
    check("to_nsq", (), "--topic required"),
    check("to_nsq", ("--delimiter=xx",), "--topic required"),
    check("to_nsq", ("--topic=t", "--delimiter="), "--delimiter must be a single byte"),
    check("to_nsq", ("--topic=t", "--delimiter=\\n"), "--delimiter must be a single byte"),
    check("to_nsq", ("--topic=t",), "--nsqd-tcp-address required"),
    bad("to_nsq", ("--rate=x",), 'invalid value "x" for flag -rate: parse error'),
    bad("to_nsq", ("--producer-opt=nosuch,1",), NO_OPTION.format("producer")),
]

_CHANNEL = ("--topic=t", "--channel=c")
_STAT = [
    check("nsq_stat", (), NO_TOPIC_OR_CHANNEL),
    check("nsq_stat", ("--topic=t", "--interval=0"), NO_TOPIC_OR_CHANNEL),
    check("nsq_stat", ("word", *_CHANNEL, NODE), NO_TOPIC_OR_CHANNEL),
    check(
        "nsq_stat",
        (*_CHANNEL, "--interval=0", "--http-client-connect-timeout=0"),
        "--interval should be positive",
    ),
    check(
        "nsq_stat",
        (*_CHANNEL, "--http-client-connect-timeout=0", "--http-client-request-timeout=0"),
        "--http-client-connect-timeout should be positive",
    ),
    check(
        "nsq_stat",
        (*_CHANNEL, "--http-client-request-timeout=-1s", "--count=0"),
        "--http-client-request-timeout should be positive",
    ),
    check("nsq_stat", (*_CHANNEL, "--count=0"), "--count should be positive"),
    check("nsq_stat", (*_CHANNEL, "--count=-1", NODE, LOOKUPD), "--count should be positive"),
    check("nsq_stat", _CHANNEL, "--nsqd-http-address or --lookupd-http-address required"),
    check(
        "nsq_stat",
        (*_CHANNEL, NODE, LOOKUPD),
        "use --nsqd-http-address or --lookupd-http-address not both",
    ),
    check(
        "nsq_stat",
        (*_CHANNEL, NODE, "--nsqd-http-address=http://a:1"),
        "--nsqd-http-address error - address should not contain scheme",
    ),
    check(
        "nsq_stat",
        (*_CHANNEL, "--lookupd-http-address=https://a:1"),
        "--lookupd-http-address error - address should not contain scheme",
    ),
    CommandLine(
        "nsq_stat",
        (*_CHANNEL, "--nsqd-http-address=127.0.0.1"),
        Says(1, "--nsqd-http-address error - address 127.0.0.1: missing port in address"),
        Says(1, "ERROR: failed to get topic producers - failed to query any nsqd: "),
    ),
    check("nsq_stat", (*_CHANNEL, NODE), "ERROR: failed to get topic producers - failed to query any nsqd: "),
    check(
        "nsq_stat",
        (*_CHANNEL, LOOKUPD),
        "ERROR: failed to get topic producers - failed to query any nsqlookupd: ",
    ),
    bad(
        "nsq_stat",
        ("--count=x",),
        'invalid value "x" for flag -count: strconv.ParseInt: parsing "x": invalid syntax',
    ),
    bad("nsq_stat", ("--interval=2",), 'invalid value "2" for flag -interval: parse error'),
]

_NOBODY = Says(1, "127.0.0.1:1: Connection refused")
_DIALED = Says(1, "dial tcp 127.0.0.1:1: connect: connection refused")
_UNREACHABLE = [
    CommandLine(tool, args, _NOBODY, _DIALED, later=True)
    for tool, args in (
        ("nsq_tail", ("--topic=t", NSQD)),
        ("nsq_to_http", ("--topic=t", NSQD, POST)),
        ("nsq_to_nsq", ("--topic=t", NSQD, "--destination-nsqd-tcp-address=127.0.0.1:2")),
    )
]

_UNKNOWN_MODE = Says(1, "--mode is typo, want round-robin, hostpool, epsilon-greedy or all")
_MODES = [
    CommandLine("nsq_to_http", ("--topic=t", NSQD, POST, "--mode=typo"), _UNKNOWN_MODE, RUNS),
    CommandLine("nsq_to_nsq", ("--topic=t", NSQD, TARGET, "--mode=typo"), _UNKNOWN_MODE, RUNS),
]

COMMAND_LINES = [
    *(line for tool in TOOLS for line in _every_tool(tool)),
    *_TO_FILE,
    *_TO_HTTP,
    *_TO_NSQ,
    *_TAIL,
    *_FROM_STDIN,
    *_STAT,
    *_UNREACHABLE,
    *_MODES,
]
