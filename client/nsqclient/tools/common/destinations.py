"""The producers of tools that publish: how they connect is told by ``--producer-opt``, and by the environment."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from nsqclient.connection.endpoint import Endpoint, from_env
from nsqclient.discovery.targets import Nsqd
from nsqclient.limits import Limits
from nsqclient.producer.producer import Producer
from nsqclient.tools.common.client_options import HINT, ProducerOption
from nsqclient.tools.common.client_settings import ClientSettings
from nsqcore.options import option


@dataclass(frozen=True)
class Destinations:
    """The flag that says how a tool publishes; a mixin of options."""

    heading: ClassVar[str] = "How messages are published"

    producer_opt: list[ProducerOption] = option(
        [], f"option of connections that publish, {HINT}", parse=ProducerOption.parse
    )


class Publishing(Protocol):
    """Options with that flag."""

    @property
    def producer_opt(self) -> list[ProducerOption]:
        """What was given."""


def producer_for(
    options: Publishing, *addresses: str, program: str, limits: Limits | None = None, **more: Any
) -> Producer:
    """A producer for these nsqds as the flags say it, not opened; raises ConfigError.

    The variables of the client (``NSQ_AUTH_SECRET``, ``NSQ_TLS_CA``, ...) count where no flag says otherwise.
    ``limits``, where given, are those of publishing; ``more`` are arguments of :class:`Producer`, which win.
    """
    settings = ClientSettings(options.producer_opt)
    environ = {name: value for name, value in os.environ.items() if name != "NSQ_LOOKUP_AUTH_SECRET"}
    base = from_env({**environ, "NSQ_URL": "nsqd://localhost"}).options
    endpoint = Endpoint(Nsqd(*addresses), settings.connection(program, base))
    if limits is not None:
        endpoint = endpoint.with_options(limits=limits)
    return Producer(endpoint, **{"retry": settings.retry(), **more})
