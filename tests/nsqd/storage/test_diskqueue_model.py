"""The disk queue beside a plain list: what is taken is what was appended, through restarts and crashes.

More examples with NSQ_DISK_EXAMPLES=5000.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from shutil import copytree

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from tests.support.disk import OVERHEAD, Rig, record

EXAMPLES = int(os.environ.get("NSQ_DISK_EXAMPLES", "150"))


@pytest.fixture(autouse=True)
def _no_fsync(monkeypatch: pytest.MonkeyPatch) -> None:
    """Thousands of files: what survives a loss of power is not asked here."""
    monkeypatch.setattr("os.fsync", lambda _: None)


class DiskQueueMachine(RuleBasedStateMachine):
    """``written`` is all that was ever stored, ``read`` how much of it was taken or dropped."""

    def __init__(self) -> None:
        super().__init__()
        self.scratch = tempfile.TemporaryDirectory(prefix="nsq-disk-")
        self.folder = Path(self.scratch.name, "data %d")
        self.folder.mkdir()
        self.count = 0

    def teardown(self) -> None:
        self.rig.__exit__(None, None, None)
        self.scratch.cleanup()

    @initialize(
        max_file=st.sampled_from([1, 3 * OVERHEAD, 3 * OVERHEAD + 12, 500]),
        sync_every=st.sampled_from([0, 1, 5, 1000]),
    )
    def begin(self, max_file: int, sync_every: int) -> None:
        self.rig = Rig(self.folder, max_bytes_per_file=max_file, sync_every=sync_every)
        self.queue = self.rig.open()
        self.written: list[bytes] = []
        self.read = 0
        self.waiting: list[bytes] = []
        self.answers: list[OSError | None] = []
        self.publishers = 0

    # -- what a broker does ------------------------------------------------------------------------

    @rule(sizes=st.lists(st.sampled_from([0, 1, 2, 3, 4, 60, 400]), min_size=1, max_size=7))
    def append(self, sizes: list[int]) -> None:
        bodies = []
        for size in sizes:
            self.count += 1
            bodies.append(b"%d:" % self.count + b"x" * size)
        self.queue.append([record(body) for body in bodies], self.answers.append)
        self.publishers += 1
        self.waiting += bodies

    @rule()
    def end_of_turn(self) -> None:
        self.rig.disk.write_now()
        self._all_stored()

    @rule(count=st.integers(1, 9), size=st.sampled_from([1, 40, 100, 10_000]))
    def take(self, count: int, size: int) -> None:
        taken = self.rig.take(self.queue, count, size)
        expected = self.written[self.read : self.read + len(taken)]
        assert taken == expected
        if self.read < len(self.written):
            assert taken, "there is one"
        if len(taken) < min(count, len(self.written) - self.read):
            assert sum(len(body) + OVERHEAD for body in taken) >= size
        self.read += len(taken)

    @rule(count=st.integers(1, 4))
    def disk_thread(self, count: int) -> None:
        self.rig.disk.work(count)

    @rule()
    def sync_timeout(self) -> None:
        self.rig.disk.timeout()

    @rule()
    def empty(self) -> None:
        self.queue.empty()
        assert self.answers == [None] * self.publishers
        self.waiting.clear()
        self.read = len(self.written)

    @rule()
    def delete_and_make_anew(self) -> None:
        self.queue.delete()
        self.waiting.clear()
        self.read = len(self.written)
        self.rig._open.remove(self.queue)
        self.queue = self.rig.open(leftovers=False)

    @rule()
    def stop_and_start(self) -> None:
        self.queue = self.rig.reopen(self.queue)
        self._all_stored()
        assert not self.rig.disk.jobs, "a clean stop left something to mend"

    @rule()
    def kill_and_start(self) -> None:
        """What was written is found again; what was read may be, too, and what was not answered may be."""
        self.waiting.clear()
        self.answers.clear()
        self.publishers = 0
        self.queue = self.rig.crash()
        found = self._look_ahead()
        fresh = self.written[self.read :]
        assert found[len(found) - len(fresh) :] == fresh
        again = iter(self.written)
        assert all(body in again for body in found), "in order, and each once"
        self.written, self.read = found, 0

    # -- checks ------------------------------------------------------------------------------------

    @invariant()
    def depth_is_right(self) -> None:
        assert self.queue.depth == len(self.written) - self.read
        assert self.queue.pending == len(self.waiting)
        assert self.rig.disk.error is None

    @invariant()
    def nothing_is_bad(self) -> None:
        assert not list(self.folder.glob("*.bad*"))

    def _all_stored(self) -> None:
        assert self.answers == [None] * self.publishers
        self.written += self.waiting
        self.waiting.clear()

    def _look_ahead(self) -> list[bytes]:
        """What would be taken if the queue were started on a copy."""
        with tempfile.TemporaryDirectory(prefix="nsq-disk-") as scratch:
            copy = copytree(self.folder, Path(scratch, "copy"))
            with Rig(copy) as rig:
                return rig.take(rig.open())


def test_a_disk_queue_behaves_as_a_list() -> None:
    run_state_machine_as_test(
        DiskQueueMachine,
        settings=settings(max_examples=EXAMPLES, stateful_step_count=40, deadline=None),
    )
