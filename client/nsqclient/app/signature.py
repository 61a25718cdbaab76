"""What a handler wants to be called with, read from its annotations once, when it is registered."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, get_args, get_origin

from nsqclient.consumer.message import Message
from nsqclient.errors import ConfigError

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_BY_NAME = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


@dataclass(frozen=True, slots=True)
class Signature:
    """How a handler is called: with the payload first, and the message where it asks for it."""

    payload: Any = None
    """The type that each body is decoded into; None when the handler takes no payload."""
    message: str | int | None = None
    """The name of the parameter that takes the message, or its position; None when there is none."""

    def arguments(self, payload: object, message: object) -> tuple[tuple[object, ...], dict[str, object]]:
        """What to call the handler with: positional and named arguments."""
        args = () if self.payload is None else (payload,)
        if isinstance(self.message, str):
            return args, {self.message: message}
        return (args if self.message is None else (message,)), {}


def read_signature(
    function: Callable[..., object], *, batch: bool, names: Mapping[str, object] | None = None
) -> Signature:
    """The signature of a handler; raises ConfigError that says what is wrong and what would be right.

    The first parameter takes the payload, and its annotation is the type that bodies are decoded into
    (``bytes``: as they are). A parameter annotated ``Message`` takes the message; it may be the only one.
    A batch handler takes ``list[T]`` and ``list[Message]`` instead. ``names`` are looked up in annotations
    besides the function's globals.
    """
    told = f"handler {describe(function)}"
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError) as e:
        raise ConfigError(f"{told}: its parameters can't be read ({e})") from None
    hints = _hints(function, told, names)
    wanted: Any = list[Message] if batch else Message
    word = "list[Message]" if batch else "Message"
    message: str | int | None = None
    payload: Any = None
    for position, parameter in enumerate(parameters):
        if parameter.kind in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD):
            continue
        hint = hints.get(parameter.name, inspect.Parameter.empty)
        if hint == wanted and message is None:
            if position and parameter.kind not in _BY_NAME:
                raise ConfigError(
                    f"{told}: {parameter.name!r} is positional only, put it first or drop the '/'"
                )
            message = 0 if position == 0 and parameter.kind in _POSITIONAL else parameter.name
        elif position == 0 and parameter.kind in _POSITIONAL:
            payload = _payload(parameter, hint, told, word, batch=batch)
        elif parameter.default is inspect.Parameter.empty:
            raise ConfigError(
                f"{told}: nothing is known for its parameter {parameter.name!r}; a handler takes the payload "
                f"first, and the message in a parameter annotated {word}"
            )
    if payload is None and message is None:
        raise ConfigError(f"{told} takes nothing; it needs a parameter for the payload or for the message")
    return Signature(payload, message)


def _payload(parameter: inspect.Parameter, hint: Any, told: str, word: str, *, batch: bool) -> Any:
    name = parameter.name
    if hint is inspect.Parameter.empty:
        raise ConfigError(
            f"{told}: annotate {name!r}, with the type of the payload (bytes takes it as it is) or with {word}"
        )
    if batch:
        if get_origin(hint) is not list or not get_args(hint):
            raise ConfigError(f"{told}: a batch handler's {name!r} is annotated list[T], not {spell(hint)}")
        return get_args(hint)[0]
    if hint == list[Message]:
        raise ConfigError(f"{told}: {name!r} is list[Message], but there is no batch=BatchOf(...)")
    if hint is None or hint is type(None):
        raise ConfigError(f"{told}: {name!r} is annotated None, which no payload is")
    return hint


def _hints(
    function: Callable[..., object], told: str, names: Mapping[str, object] | None
) -> dict[str, object]:
    annotated = function if inspect.isroutine(function) else type(function).__call__
    try:
        return typing.get_type_hints(annotated, localns=dict(names or {}), include_extras=True)
    except NameError as e:
        raise ConfigError(
            f"{told}: an annotation can't be read: {e}. Import it outside 'if TYPE_CHECKING', "
            "as it is needed at run time"
        ) from None
    except (TypeError, SyntaxError, AttributeError) as e:
        raise ConfigError(f"{told}: an annotation can't be read: {e}") from None


def describe(function: Callable[..., object]) -> str:
    """The function's name for people, such as ``shop.orders.bill``."""
    name = getattr(function, "__qualname__", None) or repr(function)
    module = getattr(function, "__module__", None)
    return f"{module}.{name}" if module else name


def spell(hint: Any) -> str:
    """A type's name for people."""
    return getattr(hint, "__name__", None) or str(hint)
