"""``nsq_to_nsq``: passes messages on to other nsqds."""

from __future__ import annotations

from collections.abc import Callable

from nsqclient.tools.common.tool import Tool, main_of
from nsqclient.tools.to_nsq.options import Options, check
from nsqclient.tools.to_nsq.work import PROGRAM, work

ABOUT = """
nsq_to_nsq reads topics from a channel of its own, as any consumer does, and publishes each message to another
nsqd: to move messages to another place, or to copy a topic. A message is finished where it came from once the
destination has it; one that a destination refuses, or does not confirm, comes again, so some may arrive twice.

Copy the topic "orders" to a nsqd elsewhere:

  nsq_to_nsq --topic=orders --nsqd-tcp-address=127.0.0.1:4150 --destination-nsqd-tcp-address=10.0.0.7:4150

Of "events", read wherever nsqlookupd knows it, pass on the clicks alone, only who and where, to either of two nsqds:

  nsq_to_nsq --topic=events --channel=clicks --lookupd-http-address=127.0.0.1:4161 \\
    --require-json-field=kind --require-json-value=click \\
    --whitelist-json-field=user --whitelist-json-field=page --destination-topic=clicks \\
    --destination-nsqd-tcp-address=10.0.0.7:4150 --destination-nsqd-tcp-address=10.0.0.8:4150
"""

TOOL = Tool(
    name=PROGRAM,
    command="to-nsq",
    summary="pass messages on to other nsqds",
    about=ABOUT,
    options=Options,
    check=check,
    work=work,
)

main: Callable[[], int] = main_of(TOOL)
