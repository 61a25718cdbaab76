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


def destination_of(options: Publishing, *addresses: str, program: str) -> Endpoint:
    """These nsqds, or without any what ``NSQ_URL`` says, connected to as the flags say; raises ConfigError.

    The variables of the client (``NSQ_AUTH_SECRET``, ``NSQ_TLS_CA``, ...) count where no flag says otherwise.
    """
    environ = dict(os.environ)
    if addresses:
        environ.pop("NSQ_LOOKUP_AUTH_SECRET", None)
        found = Endpoint(Nsqd(*addresses), from_env({**environ, "NSQ_URL": "nsqd://localhost"}).options)
    else:
        found = from_env(environ)
    return Endpoint(found.target, ClientSettings(options.producer_opt).connection(program, found.options))


def producer_for(
    options: Publishing, *addresses: str, program: str, limits: Limits | None = None, **more: Any
) -> Producer:
    """A producer for :func:`destination_of`, not opened; raises ConfigError.

    ``limits``, where given, are those of publishing; ``more`` are arguments of :class:`Producer`, which win.
    """
    endpoint = destination_of(options, *addresses, program=program)
    if limits is not None:
        endpoint = endpoint.with_options(limits=limits)
    return Producer(endpoint, **{"retry": ClientSettings(options.producer_opt).retry(), **more})
