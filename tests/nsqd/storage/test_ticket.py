import errno

from nsqd.storage.ticket import Ticket

FULL = OSError(errno.ENOSPC, "No space left on device")


def test_is_told_when_the_last_write_is_over() -> None:
    ticket, told = Ticket(), list[str]()
    first, second = ticket.wait_for(), ticket.wait_for()
    ticket.when_done(lambda: told.append("done"))
    seen = []
    for stored in (first, second):
        stored(None)
        seen.append((ticket.done, list(told)))
    assert seen == [(False, []), (True, ["done"])]
    assert ticket.error is None


def test_is_told_at_once_when_all_writes_are_over_already() -> None:
    ticket, told = Ticket(), list[str]()
    ticket.wait_for()(None)
    ticket.when_done(lambda: told.append("done"))
    assert told == ["done"]


def test_keeps_the_first_failure() -> None:
    ticket = Ticket()
    for stored, outcome in zip(
        [ticket.wait_for() for _ in range(3)], (None, FULL, OSError("later")), strict=True
    ):
        stored(outcome)
    assert ticket.done
    assert ticket.error is FULL
