"""The file of ``--auth-file``: who may log in, as what, with which password. Read again when it changes."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import stat
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum

from nsqadmin.access.passwords import BadHash, Hash
from nsqcore.errors import StartError

log = logging.getLogger(__name__)

LONGEST_NAME = 64
_NAME = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._@+-]{{0,{LONGEST_NAME - 1}}}", re.ASCII)
_LARGEST_FILE = 1 << 20
_MOST_TOLD = 5
_LOOK_EVERY_S = 2.0


class Role(Enum):
    """What somebody may do."""

    READ = "read"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Account:
    """One line of the file."""

    name: str
    role: Role
    hash: Hash


class BadFile(Exception):
    """The file can't be used; the text names each broken line, a few at most."""


def parse(data: bytes) -> dict[str, Account]:
    """Accounts by name from lines of ``user:role:hash``; raises BadFile.

    Empty lines and those that begin with ``#`` are comments. A file without accounts is refused, too: it
    would lock everybody out.
    """
    accounts: dict[str, Account] = {}
    faults: list[str] = []
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as e:
        number = data.count(b"\n", 0, e.start) + 1
        raise BadFile(f"line {number}: it is not UTF-8") from None
    for number, line in enumerate(text.split("\n"), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        try:
            account = _account(line)
        except ValueError as e:
            faults.append(f"line {number}: {e}")
            continue
        if account.name in accounts:
            faults.append(f"line {number}: user {account.name} is named twice")
        accounts[account.name] = account
    if len(faults) > _MOST_TOLD:
        faults[_MOST_TOLD:] = [f"and {len(faults) - _MOST_TOLD} more lines"]
    if not accounts and not faults:
        faults.append("it names no user")
    if faults:
        raise BadFile("; ".join(faults))
    return accounts


def _account(line: str) -> Account:
    # What is quoted from a line is never its third part: a hash, or a password put there by mistake.
    parts = line.split(":", 2)
    if len(parts) < 3:
        raise ValueError("want user:role:hash")
    name, role, text = parts
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"a user name has 1 to {LONGEST_NAME} of the characters a-z, A-Z, 0-9, . _ @ + and -, "
            "and begins with a letter or digit"
        )
    if role not in {known.value for known in Role}:
        raise ValueError(f"the role of {name} must be read or admin")
    try:
        return Account(name, Role(role), Hash.parse(text))
    except BadHash as e:
        raise ValueError(f"the hash of {name}: {e}") from None


_Stamp = tuple[int, int, int]


class Accounts:
    """The accounts as the file has them now; while it is broken, as it had them last."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.by_name: Mapping[str, Account] = {}
        self._stamp: _Stamp | None = None
        self._watch: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Reads the file and watches it from now on; raises StartError when it can't be used."""
        try:
            await self.refresh()
        except (OSError, BadFile) as e:
            reason = e.strerror if isinstance(e, OSError) else e
            raise StartError(f"failed to read --auth-file ({self.path}) - {reason}") from None
        self._watch = asyncio.create_task(self._look(), name="auth file")

    async def stop(self) -> None:
        """Ends the watch; twice is fine."""
        if self._watch is not None:
            self._watch.cancel()
            with suppress(asyncio.CancelledError):
                await self._watch

    async def refresh(self) -> bool:
        """Reads the file if it changed, and says whether it did; raises OSError and BadFile."""
        found = await asyncio.to_thread(_read, self.path, self._stamp)
        if found is None:
            return False
        # A broken file is told of once: the stamp is kept before the lines are read.
        self._stamp, data = found
        self.by_name = parse(data)
        return True

    async def _look(self) -> None:
        missing = False
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            try:
                if await self.refresh():
                    log.info("AUTH: read %s again, it names %d users", self.path, len(self.by_name))
                missing = False
            except BadFile as e:
                log.error("AUTH: %s is broken, the users it named before stay - %s", self.path, e)
            except OSError as e:
                if not missing:
                    log.error("AUTH: can't read %s, the users it named before stay - %s", self.path, e)
                missing = True


def _read(path: str, known: _Stamp | None) -> tuple[_Stamp, bytes] | None:
    with open(path, "rb") as file:
        status = os.fstat(file.fileno())
        stamp = status.st_ino, status.st_mtime_ns, status.st_size
        if stamp == known:
            return None
        if status.st_mode & stat.S_IROTH:
            log.warning("AUTH: everybody on this machine may read %s: chmod o-r", path)
        data = file.read(_LARGEST_FILE + 1)
    if len(data) > _LARGEST_FILE:
        raise BadFile(f"it has more than {_LARGEST_FILE} bytes")
    return stamp, data
