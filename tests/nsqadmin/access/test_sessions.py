from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from nsqadmin.access.accounts import Account, Role
from nsqadmin.access.sessions import IDLE_S, LIFE_S, Sessions
from tests.nsqadmin.access.hashes import account

ANN = account("ann")
KNOWN = {"ann": ANN}


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_token_finds_its_session_until_it_is_closed() -> None:
    sessions = Sessions()
    one, other = sessions.open(ANN), sessions.open(ANN)
    assert len({one, other}) == 2
    found, second = sessions.find(one, KNOWN), sessions.find(other, KNOWN)
    assert found is not None
    assert second is not None
    assert found.account is ANN
    assert found.form_token != second.form_token
    sessions.close(one)
    assert sessions.find(one, KNOWN) is None
    assert sessions.find(other, KNOWN) is second


def test_a_session_ends_when_it_is_not_used_and_in_any_case() -> None:
    clock = Clock()
    sessions = Sessions(clock)
    idle, used = sessions.open(ANN), sessions.open(ANN)
    clock.now += IDLE_S - 1
    assert sessions.find(used, KNOWN)
    clock.now += 1
    assert sessions.find(idle, KNOWN) is None
    began = 1000.0
    while clock.now < began + LIFE_S - 600:
        assert sessions.find(used, KNOWN)
        clock.now += 600
    clock.now = began + LIFE_S
    assert sessions.find(used, KNOWN) is None
    assert len(sessions) == 0


def test_a_session_ends_with_a_new_role_a_new_password_or_without_the_account() -> None:
    for now in ({}, {"ann": Account("ann", Role.READ, ANN.hash)}, {"ann": account("ann")}):
        sessions = Sessions()
        token = sessions.open(ANN)
        assert sessions.find(token, now) is None
        assert sessions.find(token, KNOWN) is None


def test_there_are_so_many_sessions_at_most_and_one_user_can_not_push_out_others() -> None:
    sessions = Sessions()
    bob = account("bob")
    kept = sessions.open(bob)
    tokens = [sessions.open(ANN) for _ in range(60)]
    assert [sessions.find(token, KNOWN) is not None for token in tokens] == [False] * 10 + [True] * 50
    assert sessions.find(kept, {"bob": bob})
    for number in range(2100):
        sessions.open(Account(f"u{number}", Role.READ, ANN.hash))
    assert len(sessions) == 2000
    assert sessions.find(kept, {"bob": bob}) is None


@given(st.text())
def test_what_is_no_token_finds_nothing(token: str) -> None:
    sessions = Sessions()
    sessions.open(ANN)
    assert sessions.find(token, KNOWN) is None
    sessions.close(token)
