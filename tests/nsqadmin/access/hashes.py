"""Hashes that cost little, for tests."""

from __future__ import annotations

from pathlib import Path

from nsqadmin.access.accounts import Account, Role
from nsqadmin.access.passwords import Hash


def cheap(password: str) -> Hash:
    """The weakest hash that is taken: a few milliseconds."""
    return Hash.of(password, log_n=10, r=8, p=1)


def account(name: str, password: str = "right", role: Role = Role.ADMIN) -> Account:
    return Account(name, role, cheap(password))


def write(path: Path, *accounts: Account) -> str:
    """Writes a file for ``--auth-file``; returns its path."""
    path.write_text("".join(f"{a.name}:{a.role.value}:{a.hash}\n" for a in accounts))
    path.chmod(0o600)
    return str(path)
