"""Hashes of passwords: scrypt, written as the PHC string format has it, made and checked off the loop.

``$scrypt$ln=15,r=8,p=3$SALT$HASH``: ``ln`` is the binary logarithm of scrypt's N, salt and hash are base64
without padding. passlib writes and reads the same. A check costs memory and time on purpose (32 MiB and about
0.2 s with the default), so few run at once and few may wait.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import re
import secrets
import unicodedata
from dataclasses import dataclass, replace

LONGEST_PASSWORD = 1024
"""Characters; longer ones are refused before any work is done for them."""
_FORM = re.compile(
    r"\$scrypt\$ln=(\d{1,2}),r=(\d{1,2}),p=(\d{1,2})\$([A-Za-z0-9+/]+)\$([A-Za-z0-9+/]+)", re.ASCII
)
_MIB = 1 << 20
_LEAST, _MOST = 1 * _MIB, 64 * _MIB
_MOST_WORK = 256 * _MIB
_SALT, _HASH = range(8, 65), range(16, 65)
_AT_ONCE, _WAITING = 2, 16


class BadHash(ValueError):
    """A text is no hash that we check; it says why."""


class Busy(Exception):
    """As many passwords as may wait to be checked do so."""


@dataclass(frozen=True, slots=True)
class Hash:
    """One hashed password and what it was made with."""

    log_n: int
    r: int
    p: int
    salt: bytes
    digest: bytes

    @classmethod
    def parse(cls, text: str) -> Hash:
        """Raises BadHash for any other form, and for costs that are no protection or too much for a server."""
        if text.startswith(("$2a$", "$2b$", "$2y$")):
            raise BadHash("a bcrypt hash, but only scrypt is known here")
        found = _FORM.fullmatch(text)
        if found is None:
            raise BadHash("not of the form $scrypt$ln=15,r=8,p=3$SALT$HASH")
        log_n, r, p = (int(number) for number in found.groups()[:3])
        memory = 128 * r << log_n
        if not (r and p and _LEAST <= memory <= _MOST):
            raise BadHash(f"it takes {memory / _MIB:g} MiB, it must be {_LEAST // _MIB} to {_MOST // _MIB}")
        if memory * p > _MOST_WORK:
            raise BadHash(f"p={p} takes too long with {memory // _MIB} MiB, at most {_MOST_WORK // memory}")
        salt, digest = _decoded(found[4]), _decoded(found[5])
        if len(salt) not in _SALT or len(digest) not in _HASH:
            raise BadHash("the salt must have 8 to 64 bytes, the hash 16 to 64")
        return cls(log_n, r, p, salt, digest)

    @classmethod
    def of(cls, password: str, *, log_n: int = 15, r: int = 8, p: int = 3) -> Hash:
        """A new hash of a password; blocks for a while."""
        blank = cls(log_n, r, p, secrets.token_bytes(16), bytes(32))
        return replace(blank, digest=blank._digest_of(password))

    def __str__(self) -> str:
        return f"$scrypt$ln={self.log_n},r={self.r},p={self.p}${_encoded(self.salt)}${_encoded(self.digest)}"

    def matches(self, password: str) -> bool:
        """Whether it is the hash of ``password``; blocks for a while, as long for a wrong one."""
        return hmac.compare_digest(self._digest_of(password), self.digest)

    def _digest_of(self, password: str) -> bytes:
        # One letter can be typed as one character or as a letter and its accent: keyboards differ.
        text = unicodedata.normalize("NFC", password)
        return hashlib.scrypt(
            text.encode("utf-8", "surrogatepass"),
            salt=self.salt,
            n=1 << self.log_n,
            r=self.r,
            p=self.p,
            maxmem=2 * _MOST,
            dklen=len(self.digest),
        )


class Checker:
    """Checks passwords in threads: two at a time, a few may wait."""

    def __init__(self) -> None:
        self._turn = asyncio.Semaphore(_AT_ONCE)
        self._busy = 0

    async def matches(self, known: Hash, password: str) -> bool:
        """Whether ``known`` is the password's hash; raises Busy when too many ask."""
        if len(password) > LONGEST_PASSWORD:
            return False
        if self._busy >= _AT_ONCE + _WAITING:
            raise Busy
        self._busy += 1
        try:
            async with self._turn:
                return await asyncio.to_thread(known.matches, password)
        finally:
            self._busy -= 1


def _encoded(data: bytes) -> str:
    return base64.b64encode(data).decode().rstrip("=")


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except ValueError:
        raise BadHash("salt and hash must be base64") from None
