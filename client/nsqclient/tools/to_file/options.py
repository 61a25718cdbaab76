"""Every option of nsq_to_file, once: name, default, help; and the checks of them, in the original's order."""

from __future__ import annotations

import dataclasses
import os
import socket
from dataclasses import dataclass

from nsqclient.checks import check_name
from nsqclient.discovery.targets import Lookup
from nsqclient.errors import InvalidName
from nsqclient.tools.common.failures import Refused
from nsqclient.tools.common.sources import Sources, check_sources, target_of
from nsqclient.tools.to_file.choice import Choice
from nsqclient.tools.to_file.naming import FileNames, host_name
from nsqclient.tools.to_file.settings import DATETIME_FORMAT, FILENAME_FORMAT, Settings
from nsqcore.durations import Duration
from nsqcore.logs import LEVELS
from nsqcore.options import option

ABOUT = """
nsq_to_file archives topics: it receives the messages of NSQ's nsqd daemons, writes each as a line of a file,
and tells nsqd that a message is done only when its file is synced to disk. It finds the daemons through
nsqlookupd, or is given their addresses.

  # all topics that begin with "order", compressed, a file per hour, in a folder for files that are complete
  nsq_to_file --lookupd-http-address=127.0.0.1:4161 --topic-pattern='^order' --gzip \\
              --work-dir=/var/spool/nsq --output-dir=/archive

  # one topic of one nsqd into a file that logrotate moves away, and then sends SIGHUP
  nsq_to_file --nsqd-tcp-address=127.0.0.1:4150 --topic=clicks --output-dir=/var/log/nsq \\
              --filename-format='<TOPIC>.log'

SIGHUP syncs and closes all files; SIGINT and SIGTERM end it in order. Durations need a unit: 250ms, 30s, 1h30m.
"""
NS = 1_000_000_000
_MINUTE = Duration(60 * NS)


@dataclass(frozen=True)
class Options(Sources):
    """Settings of one nsq_to_file."""

    log_level: str = option("info", "log from this level on: debug, info, warn, error or fatal")
    log_prefix: str = option("[nsq_to_file] ", "text at the start of each log line")
    topic: list[str] = option([], "topic to archive; without any, those that nsqlookupds know")
    topic_pattern: str = option(
        "", "archive only topics that this regular expression (Go's syntax) is found in"
    )
    topic_refresh: Duration = option(
        _MINUTE, "how often nsqlookupds are asked for new topics; 0: at the start only"
    )
    channel: str = option("nsq_to_file", "channel to receive from, the same in all topics")
    max_in_flight: int = option(
        200, "messages of one topic that may wait to be synced; thousands make it faster"
    )
    output_dir: str = option("/tmp", "folder of the files")
    work_dir: str = option(
        "", "folder of files that are being written; each moves to --output-dir when it is complete"
    )
    datetime_format: str = option(DATETIME_FORMAT, "what <DATETIME> is, as of strftime, in local time")
    filename_format: str = option(
        FILENAME_FORMAT,
        "name of a file: <TOPIC>, <HOST>, <PID>, <DATETIME> and <REV> are filled in; <REV> counts up while there"
        " is such a file. May hold slashes",
    )
    host_identifier: str = option(
        "", "what <HOST> is instead of the host's name; may hold <SHORT_HOST> and <HOSTNAME>"
    )
    gzip: bool = option(False, "compress the files, whose names then end with .gz")
    gzip_level: int = option(6, "1 (fast) to 9 (small)")
    skip_empty_files: bool = option(False, "open a file only when a message comes")
    rotate_size: int = option(0, "begin a new file after so many bytes, before compression; 0: never")
    rotate_interval: Duration = option(Duration(0), "begin a new file after so long; 0: never")
    sync_interval: Duration = option(Duration(30 * NS), "sync files to disk at least so often")
    http_client_connect_timeout: Duration = option(
        Duration(2 * NS), "how long connecting to a nsqlookupd may take when it is asked for topics"
    )
    http_client_request_timeout: Duration = option(
        Duration(5 * NS), "how long such a request may take, with its answer"
    )
    words: list[str] = dataclasses.field(default_factory=list)
    """What stands on the command line and is no flag."""


def check_first(options: Options) -> None:
    """What comes before all else, ``--version`` included; raises Refused."""
    if options.words:
        raise Refused(f"unknown arguments: [{' '.join(options.words)}]")
    if options.log_level.lower() not in LEVELS:
        raise Refused("--log-level is invalid")


def check(options: Options) -> None:
    """Raises Refused for options that can't be, ConfigError for an address that is none."""
    if not options.channel:
        raise Refused("--channel is required")
    if options.http_client_connect_timeout <= 0:
        raise Refused("--http-client-connect-timeout should be positive")
    if options.http_client_request_timeout <= 0:
        raise Refused("--http-client-request-timeout should be positive")
    check_sources(options, ending=".")
    if not 1 <= options.gzip_level <= 9:
        raise Refused(f"invalid --gzip-level value ({options.gzip_level}), should be 1-9")
    if not options.topic and not options.topic_pattern:
        raise Refused("--topic or --topic-pattern required")
    if not options.topic and not isinstance(target_of(options).target, Lookup):
        raise Refused("--lookupd-http-address must be specified when no --topic specified")
    _check_more(options)


def _check_more(options: Options) -> None:
    """What the original finds out when it is too late, or never."""
    for name, least in (("max_in_flight", 1), ("sync_interval", 1)):
        if getattr(options, name) < least:
            raise Refused(f"--{name.replace('_', '-')} should be positive")
    for name in ("topic_refresh", "rotate_size", "rotate_interval"):
        if getattr(options, name) < 0:
            raise Refused(f"--{name.replace('_', '-')} should not be negative")
    for what, names in (("topic", options.topic), ("channel", [options.channel])):
        for name in names:
            try:
                check_name(what, name)
            except InvalidName as e:
                raise Refused(f"--{what} is invalid: {e}") from None
    choice = choice_of(options)
    if options.topic and not any(map(choice.admits, options.topic)):
        raise Refused(f"no --topic matches --topic-pattern {options.topic_pattern}")
    settings_of(options)


def choice_of(options: Options) -> Choice:
    """Which topics are wanted; raises Refused for a pattern that does not compile."""
    try:
        return Choice(options.topic_pattern)
    except ValueError as e:
        raise Refused(f"--topic-pattern is invalid: {e}") from None


def settings_of(options: Options) -> Settings:
    """How files are written; raises ConfigError where ``<REV>`` is missing."""
    same = os.path.realpath(options.work_dir) == os.path.realpath(options.output_dir)
    settings = Settings(
        output_dir=options.output_dir,
        work_dir="" if same else options.work_dir,
        datetime_format=options.datetime_format,
        filename_format=options.filename_format,
        host=host_name(socket.gethostname(), options.host_identifier),
        pid=os.getpid(),
        gzip=options.gzip,
        gzip_level=options.gzip_level,
        skip_empty_files=options.skip_empty_files,
        rotate_size=options.rotate_size,
        rotate_interval=options.rotate_interval.seconds,
        sync_interval=options.sync_interval.seconds,
        max_in_flight=options.max_in_flight,
    )
    FileNames("topic", settings)
    return settings
