"""Settings of subscriptions that are given with a decorator, or with the app for all of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from nsqclient.consumer.failures import Failures
from nsqclient.consumer.options import FlowControl, Leases
from nsqclient.durations import Seconds, within
from nsqclient.errors import ConfigError

G = TypeVar("G", FlowControl, Failures, Leases)


@dataclass(frozen=True, slots=True)
class BatchOf:
    """Calls a handler with up to ``max_messages`` at a time, waiting up to ``linger`` seconds for more.

    A batch is handed out sooner when nothing more can come until some of it is answered.
    """

    max_messages: int
    """The most of one call."""
    linger: Seconds = 1.0
    """Seconds from the first message on."""

    def __post_init__(self) -> None:
        within("max_messages", self.max_messages, 1)
        within("linger", self.linger, 0)


class Default:
    """Says that an argument was not given, where None means something."""

    def __repr__(self) -> str:
        return "the app's"


DEFAULT = Default()


@dataclass(frozen=True, kw_only=True, slots=True)
class Policies:
    """The groups of a consumer's settings, as a decorator gives them: whole, by single fields, or not at all."""

    flow: FlowControl | None = None
    failures: Failures | None = None
    leases: Leases | None = None
    flow_fields: Mapping[str, Any]
    failures_fields: Mapping[str, Any]
    leases_fields: Mapping[str, Any]

    def __post_init__(self) -> None:
        """Raises ConfigError when a group is given whole and in part, or a field is wrong."""
        for name in ("flow", "failures", "leases"):
            fields = getattr(self, f"{name}_fields")
            if getattr(self, name) is not None and fields:
                field = next(iter(fields))
                raise ConfigError(f"{field}= is a field of {name}=; give it there, or leave {name}= out")
        self.over(FlowControl(), Failures(), Leases())

    def over(
        self, flow: FlowControl, failures: Failures, leases: Leases
    ) -> tuple[FlowControl, Failures, Leases]:
        """What holds, where the arguments are what the app says for all its handlers."""
        return (
            _over(flow, self.flow, self.flow_fields),
            _over(failures, self.failures, self.failures_fields),
            _over(leases, self.leases, self.leases_fields),
        )


def _over(default: G, given: G | None, fields: Mapping[str, Any]) -> G:
    return replace(default, **fields) if given is None else given
