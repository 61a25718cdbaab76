"""``nsq_tail``: prints what is published."""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Callable
from contextlib import AsyncExitStack
from random import randrange

from nsqclient.consumer.options import Leases
from nsqclient.tools.common.failures import Refused
from nsqclient.tools.common.lines import say
from nsqclient.tools.common.running import Running
from nsqclient.tools.common.sources import consumer_for, receiving
from nsqclient.tools.common.tool import DONE, Tool, main_of
from nsqclient.tools.tail.lines import Form, as_object, for_people, plain, with_topic
from nsqclient.tools.tail.options import ABOUT, Options, check
from nsqclient.tools.tail.output import Output
from nsqclient.tools.tail.printing import Printing
from nsqcore.golang import go_reason

NAME = "nsq_tail"
STDOUT = 1

log = logging.getLogger(__name__)


async def work(options: Options, running: Running) -> int:
    """Prints until there is enough, or the end; raises Refused, NsqError, and BrokenPipeError."""
    topics = list(dict.fromkeys(options.topic))
    channel = options.channel or f"tail{randrange(1_000_000):06}#ephemeral"
    wanted = [count for count in (options.n, options.total) if count > 0]
    in_flight = min([options.max_in_flight, *wanted])
    output = Output(STDOUT)
    if stat.S_ISREG(os.fstat(STDOUT).st_mode):  # else a line about the progress would stand among messages
        running.progress.show()
    async with AsyncExitStack() as stack:
        consumers = []
        for topic in topics:
            say(log, "Adding consumer for topic: %s", topic)
            consumer = consumer_for(
                options,
                topic,
                channel,
                program=NAME,
                max_in_flight=in_flight,
                leases=Leases(auto_touch=True),
            )
            consumers.append(await stack.enter_async_context(receiving(consumer, running)))
        printing = Printing(
            consumers,
            output,
            form_for(options, topics),
            per_topic=max(0, options.n),
            total=max(0, options.total),
            printed=running.progress.add,
        )
        with running.stopping(printing.stop):
            try:
                await printing.run()
            except BrokenPipeError:
                raise
            except OSError as e:
                text = f"ERROR: failed to write to os.Stdout - write /dev/stdout: {go_reason(e)}"
                raise Refused(text) from e
    output.close()
    return DONE


def form_for(options: Options, topics: list[str]) -> Form:
    """How messages are printed, where stdout goes."""
    if options.json:
        return as_object
    if os.isatty(STDOUT):
        colour = not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
        return for_people(topics, print_topic=options.print_topic, colour=colour)
    return with_topic if options.print_topic else plain


TOOL = Tool(
    name=NAME,
    command="tail",
    summary="print the messages of a topic as they come",
    about=ABOUT,
    options=Options,
    check=check,
    work=work,
    words="topic",
)

main: Callable[[], int] = main_of(TOOL)
