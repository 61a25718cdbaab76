from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsqadmin.access import accounts as module
from nsqadmin.access.accounts import Accounts, BadFile, Role, parse
from nsqcore.errors import StartError
from tests.nsqadmin.access.hashes import account, write

HASH = "$scrypt$ln=10,r=8,p=1$WyFNvoKF4Sz+5WSkVRDxeg$0toBcPQzlYSKmVnf6PghpGQ5/BdXVDqyT3prvFvMNeY"


def test_a_line_is_a_user_a_role_and_a_hash() -> None:
    found = parse(f"\ufeff# who may log in\n\nann:admin:{HASH}\r\n  bob.x@y+z-1:read:{HASH}  \n".encode())
    assert {name: who.role for name, who in found.items()} == {"ann": Role.ADMIN, "bob.x@y+z-1": Role.READ}
    assert str(found["ann"].hash) == HASH


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ("", "it names no user"),
        ("# ann:admin:x", "it names no user"),
        ("ann", "line 1: want user:role:hash"),
        ("\nann:admin", "line 2: want user:role:hash"),
        (f"ann:root:{HASH}", "line 1: the role of ann must be read or admin"),
        (f"ann:Admin:{HASH}", "line 1: the role of ann must be read or admin"),
        (f":admin:{HASH}", "line 1: a user name has 1 to 64"),
        (f"a b:admin:{HASH}", "line 1: a user name has 1 to 64"),
        (f"-ann:admin:{HASH}", "line 1: a user name has 1 to 64"),
        (f"{'a' * 65}:admin:{HASH}", "line 1: a user name has 1 to 64"),
        ("ann:admin:hunter2", "line 1: the hash of ann: not of the form"),
        (f"ann:admin:{HASH}\nann:read:{HASH}", "line 2: user ann is named twice"),
        ("ann\nbob", "line 1: want user:role:hash; line 2: want user:role:hash"),
        ("x\n" * 9, "and 4 more lines"),
    ],
)
def test_broken_lines_are_told_with_their_numbers(lines: str, reason: str) -> None:
    with pytest.raises(BadFile) as refused:
        parse(lines.encode())
    assert reason in str(refused.value)
    assert "hunter2" not in str(refused.value)


def test_what_is_no_text_is_told_with_its_line() -> None:
    with pytest.raises(BadFile, match="line 2: it is not UTF-8"):
        parse(b"# x\n\xff")


_PARTS = st.sampled_from(
    ["ann", "admin", "read", ":", "\n", "\r", "#", HASH, "$", " ", "\u2028", "\x00", "é"]
)


@given(st.one_of(st.binary(), st.lists(_PARTS).map(lambda parts: "".join(parts).encode())))
def test_any_file_is_accounts_or_a_reason_on_one_line(data: bytes) -> None:
    try:
        found = parse(data)
    except BadFile as e:
        reason = str(e)
    else:
        reason = "none"
        assert found
        assert all(name == who.name for name, who in found.items())
    assert reason
    assert "\n" not in reason


async def test_a_file_that_can_not_be_used_stops_the_start(tmp_path: Path) -> None:
    file = tmp_path / "auth"
    for content, reason in [(None, "No such file or directory"), (b"ann", "line 1: want user:role:hash")]:
        if content is not None:
            file.write_bytes(content)
        with pytest.raises(StartError) as refused:
            await Accounts(str(file)).start()
        assert str(refused.value) == f"failed to read --auth-file ({file}) - {reason}"
    file.write_bytes(b"#" * (2 << 20))
    with pytest.raises(StartError, match="more than 1048576 bytes"):
        await Accounts(str(file)).start()


async def test_the_file_is_read_again_when_it_changes_and_kept_as_it_was_while_it_is_broken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "_LOOK_EVERY_S", 0.005)
    file = tmp_path / "auth"
    accounts = Accounts(write(file, account("ann")))

    async def logged(text: str) -> None:
        async with asyncio.timeout(20):
            while not any(text in message for message in caplog.messages):  # noqa: ASYNC110 - the log has no event
                await asyncio.sleep(0.005)

    with caplog.at_level(logging.INFO):
        await accounts.start()
        try:
            assert set(accounts.by_name) == {"ann"}
            write(file, account("ann"), account("bob"))
            await logged("it names 2 users")
            assert set(accounts.by_name) == {"ann", "bob"}
            file.write_text("ann:admin:secret\n")
            await logged("the users it named before stay - line 1: the hash of ann")
            file.unlink()
            await logged("can't read")
            assert set(accounts.by_name) == {"ann", "bob"}
            write(file, account("zoe"))
            await logged("it names 1 users")
            assert set(accounts.by_name) == {"zoe"}
        finally:
            await accounts.stop()
    assert sum("is broken" in message for message in caplog.messages) == 1
    assert sum("can't read" in message for message in caplog.messages) == 1


async def test_a_file_that_everybody_may_read_is_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "auth"
    accounts = Accounts(write(file, account("ann")))
    await accounts.refresh()
    assert caplog.messages == []
    file.chmod(0o644)
    await Accounts(str(file)).refresh()
    assert caplog.messages == [f"AUTH: everybody on this machine may read {file}: chmod o-r"]
