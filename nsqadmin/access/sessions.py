"""Who is logged in: random tokens that a browser keeps, and what each stands for. In memory alone."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from time import monotonic

from nsqadmin.access.accounts import Account

LIFE_S = 12 * 3600.0
"""How long a login lasts at most."""
IDLE_S = 2 * 3600.0
"""How long it lasts without a request; an open page asks every few seconds."""
_MOST, _MOST_OF_ONE = 2000, 50


@dataclass(slots=True)
class Session:
    """One login. It ends when the account changes, be it the role or the password."""

    account: Account
    began: float
    used: float
    form_token: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    """What forms made in this session carry."""


class Sessions:
    """At most 2000, and 50 of one user: the one unused for longest gives way. ``clock`` counts seconds."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self.clock = clock
        self._by_digest: dict[bytes, Session] = {}
        """In order of their last use."""

    def __len__(self) -> int:
        return len(self._by_digest)

    def open(self, account: Account) -> str:
        """Begins a session; returns its token, which is kept nowhere here."""
        own = [key for key, session in self._by_digest.items() if session.account.name == account.name]
        if len(own) >= _MOST_OF_ONE:
            del self._by_digest[own[0]]
        elif len(self) >= _MOST:
            del self._by_digest[next(iter(self._by_digest))]
        token, now = secrets.token_urlsafe(32), self.clock()
        self._by_digest[_digest(token)] = Session(account, now, now)
        return token

    def find(self, token: str, accounts: Mapping[str, Account]) -> Session | None:
        """The session of a token, used once more; None when it is over or its account is not as it was."""
        if not token:
            return None
        key, now = _digest(token), self.clock()
        session = self._by_digest.pop(key, None)
        if session is None or now - session.began >= LIFE_S or now - session.used >= IDLE_S:
            return None
        if accounts.get(session.account.name) != session.account:
            return None
        session.used = now
        self._by_digest[key] = session
        return session

    def close(self, token: str) -> None:
        """Ends a session, if there is one."""
        self._by_digest.pop(_digest(token), None)


def _digest(token: str) -> bytes:
    """Tokens are found by their digest: how long a look-up takes tells nothing about them."""
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
