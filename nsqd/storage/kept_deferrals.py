"""What one disk queue keeps of deferred messages from one life to the next (see :mod:`nsqd.storage.deferred_file`)."""

from __future__ import annotations

import logging
import time
from bisect import bisect_left
from collections.abc import Sequence
from functools import partial

from nsqd.frames import past_of_payload, record_of_payload
from nsqd.storage.atomic import sync_folder
from nsqd.storage.deferred_file import ALONE, COPIED, Contents, DeferredFile, Header, Message
from nsqd.storage.disk import Disk
from nsqd.storage.recovery import START, Recovered, fits
from nsqd.storage.segments import Left, Position, QueueFiles

log = logging.getLogger(__name__)


class KeptDeferrals:
    """Reads the file at the start, notes what comes due, replaces it at the end."""

    def __init__(self, files: QueueFiles, disk: Disk) -> None:
        self._files = files
        self._disk = disk
        self._file = DeferredFile(files)
        self._is_there = False
        self._messages: list[Message] = []
        self._stopped = 0
        self._dues: list[float] = []  # of the messages in the file that were not gone at the start; loop time
        self._gone_before = self._gone = 0

    # -- start -------------------------------------------------------------------------------------

    def adopt(self, left: Left) -> tuple[Sequence[int], Recovered | None]:
        """Takes over what the last life deferred; returns the segments to read, and where they are read if that is known.

        Raises OSError.
        """
        contents = self._file.load() if left.deferred else None
        if contents is None:
            return left.segments, None
        header, segments, known = contents.header, left.segments, None
        if contents.state == COPIED:
            if header is None or not self._holds_what_is_missing(header, contents, segments):
                log.warning(
                    "DISKQUEUE(%s) %s does not go with the queue any more: its %d messages are in the queue, without their delays",
                    self._files.name,
                    self._file.path,
                    len(contents.messages),
                )
                self._file.remove()
                return segments, None
            segments, known = self._remove_copies(header, segments)
        if not contents.messages:
            self._file.remove()
            return segments, known
        self._is_there = True
        self._messages = contents.messages
        if header is not None:
            self._stopped = header.stopped
            self._gone_before = header.messages - len(contents.messages)
        if contents.damage is not None:
            self._gone_before = 0
            self._file.store(
                Header(self._files.name, self._stopped, len(self._messages), 0, 0, START, START),
                self._messages,
                ALONE,
            )
        return segments, known

    def _holds_what_is_missing(self, header: Header, contents: Contents, segments: Sequence[int]) -> bool:
        """Whether the queue is as it was left, so that the copies in its last segments can go.

        Or whether they are going already: a start was cut short. When there are more messages in the segments
        than in a damaged file, the segments are right.
        """
        try:
            if self._files.load_positions() != (header.depth, header.read, header.write):
                return False
        except (FileNotFoundError, ValueError):
            return False
        last, size = header.write.file, self._files.size(header.write.file)
        if (segments and segments[-1] > last) or size > header.write.offset:
            return False
        if contents.damage is not None:
            return size < header.write.offset
        return self._begins_with(header.tail, contents.messages)

    def _begins_with(self, number: int, messages: Sequence[Message]) -> bool:
        """Whether that segment, if it is there, begins with the first of these.

        Positions may be as they were left though nothing else is: whoever used up, deleted and refilled the
        queue may have come to the same numbers.
        """
        copy = record_of_payload(messages[0].payload) if messages else b""
        try:
            with self._files.path(number).open("rb") as file:
                return file.read(len(copy)) == copy
        except FileNotFoundError:
            return True

    def _remove_copies(
        self, header: Header, segments: Sequence[int]
    ) -> tuple[Sequence[int], Recovered | None]:
        """From the last one back: as long as it is there, all are."""
        for number in range(header.write.file, header.tail - 1, -1):
            self._files.remove(number)
        sync_folder(self._file.path.parent)
        self._file.note(ALONE, 0)
        rest = [number for number in segments if number < header.tail]
        left = Recovered(
            header.depth - header.messages, header.read, Position(header.tail, 0), as_stored=False
        )
        return rest, left if fits(left.depth, left.read, left.write, rest) else None

    def messages(self, now: float) -> list[tuple[float, bytes]]:
        """What was deferred, as (loop time, past frame) by time; asked once. ``now`` is the loop's time.

        A clock that was set back while nsqd was down makes no delay longer than it was.
        """
        messages, self._messages = self._messages, []
        wall = max(time.time_ns(), self._stopped)
        found = [(now + (due - wall) / 1e9, past_of_payload(payload)) for due, payload in messages]
        self._dues = [due for due, _ in found]
        return found

    # -- while it runs -----------------------------------------------------------------------------

    def handed_on(self, until: float) -> bool:
        """Those due before ``until`` (loop time) are in the queue's memory now; returns whether others are left.

        Noted in the file within the sync timeout, as reading from segments is.
        """
        gone = bisect_left(self._dues, until)
        if gone != self._gone:
            self._gone = gone
            self._disk.sync_within_timeout(self._note)
        return gone < len(self._dues)

    def _note(self) -> None:
        if not self._is_there:
            return
        if self._gone == len(self._dues):
            self.drop()
        else:
            self._disk.run(partial(self._file.note, ALONE, self._gone_before + self._gone))

    def drop(self) -> None:
        """Has the disk thread remove the file: nothing in it is wanted any more."""
        if self._is_there:
            self._is_there = False
            self._disk.run(self._file.remove)

    # -- end ---------------------------------------------------------------------------------------

    def store(self, header: Header, messages: Sequence[Message]) -> None:
        """Replaces the file at the end; the messages are in the segments too. Blocks; raises OSError."""
        try:
            self._file.store(header, messages, COPIED)
        except OSError:
            self.remove()  # the old one would bring messages again
            raise

    def remove(self) -> None:
        """Removes the file at the end. Blocks; raises OSError."""
        if self._is_there:
            self._file.remove()
