"""Gives a blocking method the signature of the asynchronous one it stands for, for people and type checkers."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, Concatenate, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")
F = TypeVar("F", bound=Callable[..., Any])


def constructed_like(
    source: Callable[P, object],
) -> Callable[[Callable[..., None]], Callable[Concatenate[Any, P], None]]:
    """For ``__init__``: takes what the class ``source`` takes."""
    return lambda method: _signed(method, source, with_self=True)


def like(
    source: Callable[Concatenate[Any, P], Coroutine[Any, Any, R]],
) -> Callable[[Callable[..., Any]], Callable[Concatenate[Any, P], R]]:
    """Takes what the coroutine method ``source`` takes, and returns its result."""
    return lambda method: _signed(method, source)


def future_like(
    source: Callable[Concatenate[Any, P], Coroutine[Any, Any, R]],
) -> Callable[[Callable[..., Any]], Callable[Concatenate[Any, P], Future[R]]]:
    """As :func:`like`, and returns a future of the result."""
    return lambda method: _signed(method, source)


def _signed(method: F, source: Callable[..., object], *, with_self: bool = False) -> F:
    signature = inspect.signature(source)
    if with_self:
        me = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
        signature = signature.replace(parameters=[me, *signature.parameters.values()])
    method.__signature__ = signature  # type: ignore[attr-defined]
    return method
