"""Who is let in, and how guessing is slowed down without locking anybody out."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from nsqadmin.access.accounts import Accounts
from nsqadmin.access.logins import Logins, TooMany
from nsqadmin.access.passwords import Hash
from nsqadmin.access.throttle import Tries, neighbourhood
from tests.nsqadmin.access.hashes import account
from tests.nsqadmin.access.test_sessions import Clock

ANN, BOB = account("ann", "ann's"), account("bob", "bob's")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def logins(clock: Clock) -> Logins:
    accounts = Accounts("")
    accounts.by_name = {"ann": ANN, "bob": BOB}
    return Logins(accounts, clock)


async def _guess(logins: Logins, name: str, address: str, times: int, familiar: str = "") -> None:
    for number in range(times):
        assert await logins.check(name, f"wrong {number}", address, familiar) is None


async def _too_many(logins: Logins, name: str, password: str, address: str, familiar: str = "") -> int:
    with pytest.raises(TooMany) as refused:
        await logins.check(name, password, address, familiar)
    return refused.value.seconds


async def test_the_right_password_is_right_and_all_else_is_wrong(logins: Logins) -> None:
    assert await logins.check("ann", "ann's", "10.0.0.1") is ANN
    for name, password in [("ann", "bob's"), ("ann", ""), ("", ""), ("Ann", "ann's"), ("a", "nn" + "ann's")]:
        assert await logins.check(name, password, "10.0.0.1") is None


async def test_an_unknown_name_costs_a_check_as_a_known_one_does(
    logins: Logins, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked: list[Hash] = []

    def matches(self: Hash, password: str) -> bool:
        checked.append(self)
        return True

    monkeypatch.setattr(Hash, "matches", matches)
    assert await logins.check("nobody", "x", "10.0.0.1") is None
    assert len(checked) == 1


async def test_an_address_has_ten_tries_and_then_one_each_six_seconds(logins: Logins, clock: Clock) -> None:
    for number in range(10):
        assert await logins.check(f"user{number}", "x", "10.0.0.1") is None
    assert await _too_many(logins, "ann", "ann's", "10.0.0.1") == 6
    assert await logins.check("ann", "ann's", "10.0.0.2") is ANN
    clock.now += 6
    assert await logins.check("ann", "ann's", "10.0.0.1") is ANN


async def test_many_addresses_together_can_not_guess_one_password(logins: Logins) -> None:
    for number in range(5):
        await _guess(logins, "ann", f"10.0.0.{number}", 2)
    assert await _too_many(logins, "ann", "wrong", "10.0.0.0") > 0
    assert await logins.check("bob", "bob's", "10.0.0.0") is BOB


async def test_guessers_do_not_keep_the_owner_out_who_is_elsewhere(logins: Logins) -> None:
    for number in range(20):
        await _guess(logins, "ann", f"10.0.0.{number}", 1)
    assert await logins.check("ann", "ann's", "10.1.0.1") is ANN


async def test_a_browser_that_logged_in_before_gets_in_beside_a_guesser_of_the_same_address(
    logins: Logins,
) -> None:
    familiar = logins.familiar_token(ANN)
    await _guess(logins, "ann", "10.0.0.1", 10)
    await _too_many(logins, "ann", "ann's", "10.0.0.1")
    for forged in (
        "x",
        "x.y",
        ".",
        familiar[:-1],
        familiar.replace(".", "x."),
        logins.familiar_token(BOB),
        "é.é",
    ):
        await _too_many(logins, "ann", "ann's", "10.0.0.1", forged)
    assert await logins.check("ann", "ann's", "10.0.0.1", familiar) is ANN
    await _guess(logins, "ann", "10.0.0.1", 10, familiar)
    assert await _too_many(logins, "ann", "ann's", "10.0.0.1", familiar) == 30


async def test_right_passwords_use_no_tries_up_and_are_not_worked_out_each_time(
    logins: Logins, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    checks = 0
    really = Hash.matches

    def matches(self: Hash, password: str) -> bool:
        nonlocal checks
        checks += 1
        return really(self, password)

    monkeypatch.setattr(Hash, "matches", matches)
    for _ in range(50):
        assert await logins.check("ann", "ann's", "10.0.0.1") is ANN
    assert checks == 1
    clock.now += 301
    assert await logins.check("ann", "ann's", "10.0.0.1") is ANN
    assert checks == 2
    logins.accounts.by_name = {"ann": account("ann", "new")}
    assert await logins.check("ann", "ann's", "10.0.0.1") is None
    assert checks == 3


async def test_what_was_right_lately_can_not_be_guessed_faster(logins: Logins) -> None:
    assert await logins.check("ann", "ann's", "10.0.0.1") is ANN
    await _guess(logins, "ann", "10.0.0.1", 10)
    await _too_many(logins, "ann", "ann's", "10.0.0.1")


async def test_tries_made_at_the_same_time_count_each(logins: Logins) -> None:
    found = await asyncio.gather(
        *(logins.check("ann", f"x{n}", "10.0.0.1") for n in range(30)), return_exceptions=True
    )
    assert [found.count(None), sum(isinstance(one, TooMany) for one in found)] == [10, 20]


def test_an_address_of_ipv6_stands_for_its_network() -> None:
    assert neighbourhood("2001:db8:0:1::5") == neighbourhood("2001:db8:0:1:ffff::1") == "2001:db8:0:1::/64"
    assert neighbourhood("2001:db8:0:2::5") != neighbourhood("2001:db8:0:1::5")
    assert neighbourhood("fe80::1%eth0") == "fe80::/64"
    assert neighbourhood("::ffff:10.0.0.1") == neighbourhood("10.0.0.1") == "10.0.0.1"
    assert neighbourhood("") == ""


def test_a_flood_of_addresses_is_forgotten_from_its_beginning(clock: Clock) -> None:
    tries = Tries(1, 60.0, clock)
    for number in range(10_001):
        tries.take(str(number))
    assert (tries.wait("0"), tries.wait("1"), tries.wait("10000")) == (0, 60, 60)


async def test_the_line_for_the_file_is_made_by_a_command(tmp_path: Path) -> None:
    import sys

    async def run(*arguments: str, typed: bytes = b"correct horse\n") -> tuple[int, str, str]:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "nsqadmin.access", *arguments,
            stdin=-1, stdout=-1, stderr=-1,
        )  # fmt: skip
        out, err = await process.communicate(typed)
        assert process.returncode is not None
        return process.returncode, out.decode(), err.decode()

    status, line, errors = await run("ann", "admin")
    assert (status, errors) == (0, "")
    (tmp_path / "auth").write_text(line)
    accounts = Accounts(str(tmp_path / "auth"))
    await accounts.start()
    await accounts.stop()
    assert accounts.by_name["ann"].hash.matches("correct horse")
    assert await run("ann", "admin", typed=b"short\n") == (2, "", "a password has 8 to 1024 characters\n")
    assert await run("ann", "root") == (2, "", "the role of ann must be read or admin\n")
    assert (await run("--help"))[0] == 0
    assert (await run("ann"))[0] == 2
