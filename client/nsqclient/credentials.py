"""Secrets: given as text, or as what reads them anew whenever a connection is made."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable

from nsqclient.errors import ConfigError

Secret = str | Callable[[], str] | Callable[[], Awaitable[str]]
"""A secret, or a function without arguments that returns it; it may be a coroutine function."""


def check_secret(name: str, secret: object) -> None:
    """Raises ConfigError for what can't be a secret; the text never contains it."""
    if not callable(secret) and not (isinstance(secret, str) and secret):
        raise ConfigError(f"{name} is a text that is not empty, or a function that returns one")


async def read_secret(secret: Secret) -> str:
    """The secret as of now; raises what the function raises, and TypeError for what is no text.

    A plain function is called in a thread, as it may well read a file or ask a server.
    """
    if isinstance(secret, str):
        return secret
    said: object = secret() if inspect.iscoroutinefunction(secret) else await asyncio.to_thread(secret)
    if inspect.isawaitable(said):
        said = await said
    if not isinstance(said, str) or not said:
        raise TypeError("the function for the secret returned no text")
    return said
