"""Names and passwords, checked: slowly enough for guessers, and so that nobody can lock others out.

A try counts against the address that it comes from, and against the name. The name's count only stops
addresses that have failed lately themselves, so strangers who guess do not keep its owner from logging in
elsewhere. Behind a proxy everybody has one address; therefore a browser that has logged in before gets a
*familiar* token that gives it tries of its own.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections import OrderedDict
from collections.abc import Callable
from time import monotonic

from nsqadmin.access.accounts import LONGEST_NAME, Account, Accounts
from nsqadmin.access.passwords import Busy, Checker, Hash
from nsqadmin.access.throttle import Tries, neighbourhood

_REMEMBERED, _REMEMBERED_S = 200, 300.0
_Buckets = list[tuple[Tries, str]]


class TooMany(Exception):
    """Not now: too many tries, or too many at once; ``seconds`` is when to try again."""

    def __init__(self, seconds: int) -> None:
        super().__init__(seconds)
        self.seconds = seconds


class Logins:
    """Checks names and passwords against the accounts; ``clock`` counts seconds."""

    def __init__(self, accounts: Accounts, clock: Callable[[], float] = monotonic) -> None:
        self.accounts = accounts
        self.clock = clock
        self.by_address = Tries(10, 6.0, clock)
        self.by_name = Tries(10, 30.0, clock)
        self.by_browser = Tries(10, 30.0, clock)
        self._checker = Checker()
        self._secret = secrets.token_bytes(32)
        self._right: OrderedDict[bytes, tuple[float, Account]] = OrderedDict()

    async def check(self, name: str, password: str, address: str, familiar: str = "") -> Account | None:
        """The account, or None when name or password is wrong; both take the same time. Raises TooMany."""
        account = self.accounts.by_name.get(name)
        deciding, counting = self._buckets(name, account, neighbourhood(address), familiar)
        wait = max(tries.wait(key) for tries, key in deciding)
        if wait:
            raise TooMany(wait)
        # Scripts send the password with each request: what was right lately is not worked out again.
        proof = hmac.digest(
            self._secret, f"{len(name)}:{name}{password}".encode("utf-8", "replace"), "sha256"
        )
        when, known = self._right.get(proof, (0.0, None))
        if known is not None and known == account and self.clock() - when < _REMEMBERED_S:
            return account
        for tries, key in counting:
            tries.take(key)
        stand_in = self._stand_in(name)
        try:
            right = await self._checker.matches(account.hash if account else stand_in, password)
        except Busy:
            raise TooMany(2) from None
        if account is None or not right or self.accounts.by_name.get(name) != account:
            return None
        for tries, key in counting:
            tries.give_back(key)
        self._right[proof] = self.clock(), account
        if len(self._right) > _REMEMBERED:
            self._right.popitem(last=False)
        return account

    def _stand_in(self, name: str) -> Hash:
        """A hash to check for a name that nobody has: of any cost that there is, and always the same."""
        hashes = [account.hash for account in self.accounts.by_name.values()]
        drawn = hmac.digest(self._secret, name.encode("utf-8", "replace"), "sha256")
        return hashes[int.from_bytes(drawn[:4], "big") % len(hashes)]

    def familiar_token(self, account: Account) -> str:
        """What a browser shows the next time, to be known as one that this user has logged in with."""
        nonce = secrets.token_urlsafe(12)
        return f"{nonce}.{_seal(account.hash, nonce)}"

    def _buckets(
        self, name: str, account: Account | None, address: str, familiar: str
    ) -> tuple[_Buckets, _Buckets]:
        """Those that decide whether a try is allowed, and those that it counts in."""
        nonce, _, seal = familiar.partition(".")
        if account is not None and seal:
            expected = _seal(account.hash, nonce)
            if hmac.compare_digest(expected.encode(), seal.encode("utf-8", "replace")):
                own = [(self.by_browser, nonce)]
                return own, own
        counting = [(self.by_address, address), (self.by_name, name[:LONGEST_NAME])]
        return counting if self.by_address.touched(address) else counting[:1], counting


def _seal(known: Hash, nonce: str) -> str:
    """Bound to the password: a new one makes all browsers strangers."""
    return hashlib.blake2b(
        nonce.encode("utf-8", "replace"), key=known.digest[:64], digest_size=18
    ).hexdigest()
