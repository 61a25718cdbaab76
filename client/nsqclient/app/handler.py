"""A function as a handler: still called as before, and knows what is published from it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Generic, ParamSpec, TypeVar, overload

from nsqclient.app.signature import describe

P = ParamSpec("P")
R = TypeVar("R")


class Handler(Generic[P, R]):
    """What ``@router.on`` and ``@router.publishes`` make of a function. Calling it calls the function."""

    __wrapped__: Callable[P, R]

    def __init__(self, function: Callable[P, R]) -> None:
        functools.update_wrapper(self, function)
        self.calls: list[object] = []
        """The payloads it was called with in ``app.test()``, in order; a list of them for each batch. A
        handler that takes no payload is noted with the body. Empty outside of tests."""
        self.publishes: list[str] = []
        """The topics that what it returns is published to."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Calls the function, without any of the app's doings."""
        return self.__wrapped__(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<Handler {describe(self.__wrapped__)}>"


@overload
def to_handler(function: Handler[P, R]) -> Handler[P, R]: ...
@overload
def to_handler(function: Callable[P, R]) -> Handler[P, R]: ...
def to_handler(function: Callable[P, R]) -> Handler[P, R]:
    """The handler that ``function`` already is, or a new one."""
    return function if isinstance(function, Handler) else Handler(function)
