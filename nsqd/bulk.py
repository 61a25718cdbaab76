"""Publishing very many messages at once, in slices: the loop turns between them.

First everything is checked and made into frames, so that a wrong batch publishes nothing; then it is put
slice by slice. If the disk fails in the middle, the slices before stay published, as with the original.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable

from nsqd.frames import SLICE, Batch, BatchDecoder, FrameBuilder
from nsqd.storage.ticket import Ticket
from nsqd.topic import Topic

Work = Generator[None, None, "Ticket | None"]
"""Long work: every item is a chance for others; at last None when all is done, or a ticket."""


def decode(decoder: BatchDecoder) -> Generator[None, None, list[Batch]]:
    """Decodes a binary batch; raises BatchError."""
    while not decoder.step():
        yield
    return decoder.batches


def split_lines(
    frames: FrameBuilder, body: bytes, check: Callable[[Iterable[bytes]], None]
) -> Generator[None, None, list[Batch]]:
    """Makes a message of each line that is not empty; ``check`` raises for lines that can't be taken."""
    batches: list[Batch] = []
    rest = body
    while True:
        lines = rest.split(b"\n", SLICE)
        rest = lines.pop() if len(lines) > SLICE else b""
        lines = [line for line in lines if line]
        if lines:
            check(lines)
            batches.append(frames.many(lines))
        if not rest:
            return batches
        yield


def put(topic: Topic, batches: list[Batch]) -> Work:
    """Publishes batches that belong together; raises Refused."""
    if len(batches) == 1:
        return topic.put(batches[0])
    whole: Ticket | None = None
    for batch in batches:
        ticket = topic.put(batch)
        if ticket is not None:
            whole = whole or Ticket()
            whole.follow(ticket)
        yield
    return whole
