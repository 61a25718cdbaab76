"""What a store of keys has to do, so that the work behind a key is done once."""

from __future__ import annotations

from typing import Literal, NamedTuple, Protocol


class Claim(NamedTuple):
    """What a store says about a key."""

    state: Literal["claimed", "running", "confirmed"]
    """``claimed``: it is the asker's now. ``running``: another has it. ``confirmed``: the work is done."""
    remaining: float = 0.0
    """Seconds until a claim that is ``running`` ends, unless it is renewed."""


CLAIMED = Claim("claimed")
CONFIRMED = Claim("confirmed")


class Store(Protocol):
    """Remembers keys, for one process or for several.

    ``owner`` is a text that no two claims share. A store that can't answer raises whatever it likes; it
    need not watch the time, as whoever asks does. Each of these happens wholly or not at all.
    """

    async def claim(self, key: str, owner: str, timeout: float) -> Claim:
        """Takes the key for ``timeout`` seconds unless it is taken or confirmed; the owner takes it anew."""

    async def confirm(self, key: str, owner: str, window: float) -> None:
        """The work is done: for ``window`` seconds the key is a duplicate, whoever claimed it last."""

    async def release(self, key: str, owner: str) -> None:
        """The work was not done; the key is free, unless another has claimed or confirmed it meanwhile."""
