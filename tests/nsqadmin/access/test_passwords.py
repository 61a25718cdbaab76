from __future__ import annotations

import asyncio
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsqadmin.access.passwords import LONGEST_PASSWORD, BadHash, Busy, Checker, Hash
from tests.nsqadmin.access.hashes import cheap

# Made by an independent implementation: passlib 1.7's example, password "password".
FOREIGN = "$scrypt$ln=16,r=8,p=1$aM15713r3Xsvxbi31lqr1Q$nFNh2CVHVjNldFVKDHDlm4CbdRSCdEBsjjJxD+iCs5E"


def test_a_hash_made_elsewhere_is_known() -> None:
    known = Hash.parse(FOREIGN)
    assert str(known) == FOREIGN
    assert known.matches("password")
    assert not known.matches("passwort")


def test_a_hash_is_salted_and_costs_32_mib_three_times() -> None:
    text = str(Hash.of("secret"))
    assert text.startswith("$scrypt$ln=15,r=8,p=3$")
    assert Hash.parse(text).matches("secret")
    assert cheap("secret").salt != cheap("secret").salt


def test_it_is_the_same_password_however_the_accent_was_typed() -> None:
    assert cheap("caf\u00e9").matches("cafe\u0301")
    assert not cheap("caf\u00e9").matches("cafe")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "not of the form"),
        ("secret", "not of the form"),
        ("$2b$12$abcdefghijklmnopqrstuv", "a bcrypt hash, but only scrypt is known here"),
        ("$apr1$x$y", "not of the form"),
        (FOREIGN + "\n", "not of the form"),
        (FOREIGN.replace("ln=16", "ln=06"), "it must be 1 to 64"),
        (FOREIGN.replace("ln=16", "ln=20"), "it takes 1024 MiB, it must be 1 to 64"),
        (FOREIGN.replace("ln=16", "ln=99"), "it must be 1 to 64"),
        (FOREIGN.replace("r=8", "r=0"), "it must be 1 to 64"),
        (FOREIGN.replace("p=1", "p=0"), "it must be 1 to 64"),
        (FOREIGN.replace("p=1", "p=9"), "p=9 takes too long with 64 MiB, at most 4"),
        (FOREIGN.replace("aM15713r3Xsvxbi31lqr1Q", "aM"), "the salt must have 8 to 64 bytes"),
        (FOREIGN.replace("aM15713r3Xsvxbi31lqr1Q", "aM157"), "must be base64"),
        (FOREIGN[:-31], "the hash 16 to 64"),
    ],
)
def test_other_hashes_are_refused_with_a_reason(text: str, reason: str) -> None:
    with pytest.raises(BadHash) as refused:
        Hash.parse(text)
    assert reason in str(refused.value)


@given(
    st.one_of(
        st.text(), st.from_regex(r"\$scrypt\$ln=[0-9]+,r=[0-9]+,p=[0-9]+\$[A-Za-z0-9+/=]*\$[A-Za-z0-9+/]*")
    )
)
def test_any_text_is_a_hash_or_a_reason(text: str) -> None:
    try:
        found = Hash.parse(text)
    except BadHash as e:
        reason = str(e)
    else:
        reason = "none"
        assert 128 * found.r << found.log_n <= 64 << 20
        assert Hash.parse(str(found)).digest == found.digest
    assert reason


@given(st.text(max_size=40))
def test_any_text_can_be_a_password(password: str) -> None:
    known = cheap(password)
    assert known.matches(password)
    assert not known.matches(password + "x")


async def test_checks_do_not_hold_up_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    checker, go_on, loop_runs = Checker(), threading.Event(), asyncio.Event()

    def slow(self: Hash, password: str) -> bool:
        return go_on.wait(20)

    monkeypatch.setattr(Hash, "matches", slow)
    asyncio.get_running_loop().call_soon(loop_runs.set)
    checks = [asyncio.create_task(checker.matches(cheap("x"), "x")) for _ in range(18)]
    await loop_runs.wait()
    with pytest.raises(Busy):
        await checker.matches(cheap("x"), "x")
    go_on.set()
    assert await asyncio.gather(*checks) == [True] * 18
    assert await checker.matches(cheap("x"), "x")


async def test_a_password_longer_than_any_is_not_worked_on() -> None:
    known = cheap("x" * (LONGEST_PASSWORD + 1))
    assert not await Checker().matches(known, "x" * (LONGEST_PASSWORD + 1))
