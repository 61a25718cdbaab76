"""The least that a tool can be, as a program: what the parts that all tools share are tried with."""

from __future__ import annotations

import logging
import sys
from dataclasses import dataclass

from nsqclient.tools.common.failures import Refused
from nsqclient.tools.common.lines import Logged, complain, say
from nsqclient.tools.common.running import Running
from nsqclient.tools.common.sources import Sources, check_sources, consumer_for, receiving
from nsqclient.tools.common.tool import Tool, main_of
from nsqcore.options import option

NAME = "tests.nsqclient.tools.common.tiny_tool"
log = logging.getLogger("nsqclient.tools.tiny")


@dataclass(frozen=True)
class Options(Sources, Logged):
    """Settings of one tiny tool."""

    topic: list[str] = option([], "topic to print")
    n: int = option(0, "end after so many")
    fail: str = option("", "what to fail with")
    reload: bool = option(False, "obey SIGHUP")


def check(options: Options) -> None:
    if not options.topic:
        raise Refused("--topic required")
    check_sources(options)


async def work(options: Options, running: Running) -> int:
    if options.fail == "oserror":
        raise FileNotFoundError(2, "No such file or directory", "/there/is/none")
    if options.fail:
        raise Refused(options.fail)
    if options.reload:
        running.on_reload(lambda: say(log, "reloaded"))
    say(log, "reading %s", ", ".join(options.topic))
    complain(log, "this is an error")
    seen = 0
    consumer = consumer_for(options, options.topic[0], "tiny", program="tiny", max_in_flight=2, drain=0)
    async with receiving(consumer, running):
        async for message in consumer:
            sys.stdout.buffer.write(message.body + b"\n")
            sys.stdout.flush()
            message.finish()
            seen += 1
            if seen == options.n:
                break
    return 0


TOOL = Tool(
    name="tiny",
    command="tiny",
    summary="print a topic",
    about="It prints a topic.\n\n  tiny orders",
    options=Options,
    check=check,
    work=work,
    words="topic",
)
main = main_of(TOOL)

if __name__ == "__main__":
    sys.exit(main())
