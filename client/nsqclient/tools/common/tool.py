"""What a tool is, and how one runs as a program: its flags, checks, signals, log and exit status.

A tool is a package with a module ``tool`` that has ``TOOL``, and a ``__main__`` that runs it::

    TOOL = Tool(name="nsq_tail", command="tail", summary=..., about=..., options=Options, check=check, work=work)

    main = main_of(TOOL)

    if __name__ == "__main__":
        sys.exit(main())

Exit status: 0 done, or ended by a signal in order; 1 a check or the work failed; 2 a bad command line. A reader
of standard output that has gone ends it as SIGPIPE does.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from nsqclient.errors import ConfigError, NsqError
from nsqclient.tools.common.failures import Refused
from nsqclient.tools.common.lines import log_plainly
from nsqclient.tools.common.running import Running, run_until_done
from nsqclient.tools.common.usage import usage_of
from nsqcore import logs
from nsqcore.command_line import read_words
from nsqcore.golang import go_reason
from nsqcore.options import BadConfig, UsageError, flags_of
from nsqcore.standard_files import ensure_standard_files
from nsqcore.version import NSQ_VERSION

DONE, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130
"""The exit statuses."""


@dataclass(frozen=True)
class Tool:
    """A program of this package."""

    name: str
    """The program's name, such as ``nsq_tail``."""
    command: str
    """What it is called as a command of ``nsq``."""
    summary: str
    """One line for lists of tools, without an end."""
    about: str
    """Opens ``--help``: what it does, what of NSQ it touches, two examples."""
    options: type[Any]
    """A dataclass of :func:`nsqcore.options.option` fields; see :mod:`nsqclient.tools.common.usage` for groups."""
    check: Callable[[Any], None]
    """Raises Refused or ConfigError for options that can't be; called before anything else."""
    work: Callable[[Any, Running], Awaitable[int]]
    """Does it, and returns the exit status; raises Refused, NsqError or OSError when it can't go on. It has to
    end soon once ``Running.stop`` is set."""
    check_first: Callable[[Any], None] = lambda options: None
    """Likewise, called even before ``--version`` is obeyed."""
    words: str = ""
    """The field, a list of texts, that gets the words which are no flags. If it is that of a flag these may
    stand anywhere; otherwise, and without a field, the first one ends the flags. Without one they are ignored."""
    log: Callable[[Any], None] = log_plainly
    """Configures logging; the options of the default have a ``log_level``."""
    version: str = f"v{NSQ_VERSION}"
    """What ``--version`` prints behind the name."""


def main_of(tool: Tool) -> Callable[[], int]:
    """The program: called without arguments, it runs the tool with those of the process."""
    return lambda: run_tool(tool, sys.argv[1:])


def run_tool(tool: Tool, argv: Sequence[str], *, called: str = "") -> int:
    """Runs it with these arguments; returns the exit status. ``called`` is how, if not by its name."""
    ensure_standard_files()
    try:
        options, version = read_options(tool, argv, called or tool.name)
        tool.check_first(options)
        if version:
            sys.stdout.write(f"{tool.name} {tool.version}\n")
            return DONE
        tool.check(options)
        tool.log(options)
        return run_until_done(lambda running: tool.work(options, running))
    except _Ended as e:
        return e.status
    except KeyboardInterrupt:  # before the tool could hear it
        return INTERRUPTED
    except BrokenPipeError:
        return _end_by_broken_pipe()
    except (Refused, ConfigError, NsqError, OSError) as e:
        logs.plain(go_reason(e) if isinstance(e, OSError) and not isinstance(e, NsqError) else str(e))
        return FAILED


class _Ended(Exception):
    """There is nothing to run."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


def read_options(tool: Tool, argv: Sequence[str], called: str) -> tuple[Any, bool]:
    """The options object that ``argv`` makes, not checked; and whether ``--version`` was given."""
    flags = {flag.name: flag for flag in flags_of(tool.options)}
    taken = next((flag for flag in flags.values() if flag.field == tool.words), None)

    def show_help() -> NoReturn:
        sys.stderr.write(usage_of(tool.about, tool.options, called))
        raise _Ended(DONE)

    try:
        read = read_words(
            argv,
            flags,
            switches={"version": False},
            show_help=show_help,
            anywhere=taken is not None,
        )
        given = read.options
        if taken is not None:
            words = [value for word in read.rest for value in _parsed(taken.parse(word))]
            given[tool.words] = [*words, *_parsed(given.get(tool.words, []))]
        elif tool.words:
            given[tool.words] = read.rest
    except (UsageError, BadConfig) as e:
        sys.stderr.write(f"{e}\n{usage_of(tool.about, tool.options, called)}\n")
        sys.stderr.write("".join(f"{line}\n" for line in (f"{called}: {e}", e.hint) if line))
        raise _Ended(USAGE) from None
    return tool.options(**given), read.switches["version"]


def _parsed(value: object) -> list[object]:
    return value if isinstance(value, list) else [value]


def _end_by_broken_pipe() -> int:
    """As a program ends that does not mind SIGPIPE, which Python does: by the signal, and without a word."""
    sys.stderr.flush()
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGPIPE)
    return FAILED
