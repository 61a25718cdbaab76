"""What given client options come to: settings of connections, nsqlookupds, flow and failures."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from nsqclient.connection.options import ConnectionOptions, Topology
from nsqclient.consumer.failures import Failures, LinearRequeue
from nsqclient.consumer.options import Backoff, FlowControl
from nsqclient.errors import ConfigError
from nsqclient.limits import Limits
from nsqclient.pauses import FullJitter
from nsqclient.producer.options import RetryPolicy
from nsqclient.tls import Tls
from nsqclient.tools.common.client_options import ClientOption
from nsqcore.version import NSQ_VERSION, suite_version

LONGEST_TIMEOUT = 300.0
"""Seconds, where an option says that there is no limit."""
_CONNECTION = {
    "write_timeout": "write_timeout",
    "read_timeout": "read_timeout",
    "local_addr": "local_addr",
    "client_id": "client_id",
    "hostname": "hostname",
    "heartbeat_interval": "heartbeat",
    "sample_rate": "sample_rate",
    "output_buffer_size": "output_buffer_size",
    "output_buffer_timeout": "output_buffer_timeout",
    "auth_secret": "auth",
}
"""Options that are passed on as they are, to the field of ConnectionOptions."""

log = logging.getLogger(__name__)


def user_agent(program: str) -> str:
    """How a tool calls itself to nsqd: ``nsq_tail/1.3.0 nsqclient/0.1.0``."""
    return f"{program}/{NSQ_VERSION} nsqclient/{suite_version()}"


class ClientSettings:
    """Reads options by the name; the last one given counts. Raises ConfigError for what can't go together."""

    def __init__(self, given: Iterable[ClientOption]) -> None:
        self._given: Mapping[str, Any] = dict(given)

    def connection(self, program: str, base: ConnectionOptions | None = None) -> ConnectionOptions:
        """``base``, the defaults without it, with what the options change."""
        given, base = self._given, base or ConnectionOptions()
        changes: dict[str, Any] = {field: given[name] for name, field in _CONNECTION.items() if name in given}
        if "dial_timeout" in given:
            changes["dial_timeout"] = given["dial_timeout"] or LONGEST_TIMEOUT
        if given.get("msg_timeout"):
            changes["msg_timeout"] = given["msg_timeout"]
        if given.get("max_msg_size"):
            changes["limits"] = replace(base.limits, max_msg_size=given["max_msg_size"])
            changes["limits"] = _roomy(changes["limits"])
        if "topology_region" in given or "topology_zone" in given:
            changes["topology"] = Topology(
                region=given.get("topology_region", ""), zone=given.get("topology_zone", "")
            )
        compress = self._compress()
        if compress is not None:
            changes["compress"] = compress
        tls = self._tls()
        if tls is not None:
            changes["tls"] = tls
        return replace(base, **changes, user_agent=user_agent(program))

    def _compress(self) -> str | None:
        given = self._given
        if given.get("deflate") and given.get("snappy"):
            raise ConfigError("deflate and snappy can't both be used: nsqd refuses that")
        if given.get("snappy"):
            return "prefer:snappy"
        return f"prefer:deflate:{given.get('deflate_level', 6)}" if given.get("deflate") else None

    def _tls(self) -> Tls | None:
        given = self._given
        if not given.get("tls_v1"):
            useless = [name for name in given if name.startswith("tls_") and name != "tls_v1"]
            if useless:
                log.warning("%s without tls_v1: connections are not encrypted", ", ".join(useless))
            return None
        cert, key = given.get("tls_cert"), given.get("tls_key")
        if (cert is None) != (key is None):
            raise ConfigError("tls_cert and tls_key are given together or not at all")
        return Tls(
            ca=given.get("tls_root_ca_file"),
            cert=None if cert is None or key is None else (cert, key),
            verify=not given.get("tls_insecure_skip_verify", False),
            min_version="1.3" if given.get("tls_min_version") == "tls1.3" else "1.2",
        )

    def lookup(self) -> dict[str, Any]:
        """Arguments of a Lookup."""
        given = self._given
        found: dict[str, Any] = {}
        if "lookupd_poll_interval" in given:
            found["poll_interval"] = given["lookupd_poll_interval"]
        if "lookupd_poll_jitter" in given:
            found["poll_jitter"] = given["lookupd_poll_jitter"]
        if "lookupd_poll_timeout" in given:
            seconds = given["lookupd_poll_timeout"] or LONGEST_TIMEOUT
            found |= {"connect_timeout": seconds, "request_timeout": seconds}
        if "auth_secret" in given and given.get("skip_lookupd_authorization", True):
            found["auth"] = given["auth_secret"]
        return found

    def flow(self) -> FlowControl:
        """How a consumer slows down, and which nsqds have their turn."""
        given = self._given
        backoff = Backoff(
            multiplier=given.get("backoff_multiplier", 1.0),
            max_duration=given.get("max_backoff_duration", 120.0),
            strategy=given.get("backoff_strategy", "exponential"),
        )
        idle = given.get("low_rdy_idle_timeout")
        return (
            FlowControl(backoff=backoff) if idle is None else FlowControl(backoff=backoff, low_rdy_idle=idle)
        )

    def failures(self) -> Failures:
        """When a message that failed comes again, and when it is given up: never, unless it is said."""
        given = self._given
        requeue = LinearRequeue(
            given.get("default_requeue_delay", 90.0), given.get("max_requeue_delay", 900.0)
        )
        return Failures(attempts=given.get("max_attempts", 0), requeue=requeue)

    @property
    def limits_retries(self) -> bool:
        """Whether it is said when a message that failed comes again, or how often."""
        return bool(
            self._given.get("max_attempts")
            or {"default_requeue_delay", "max_requeue_delay"} & self._given.keys()
        )

    def reconnect(self) -> FullJitter:
        """The pauses between attempts to connect to one nsqd."""
        longest = self._given.get("lookupd_poll_interval")
        usual = FullJitter()
        return usual if longest is None else FullJitter(min(0.1, longest), longest)

    def retry(self) -> RetryPolicy:
        """How hard a producer tries."""
        longest = self._given.get("lookupd_poll_interval")
        return (
            RetryPolicy() if longest is None else RetryPolicy(backoff=FullJitter(min(0.05, longest), longest))
        )


def _roomy(limits: Limits) -> Limits:
    """The same, with room for the largest message in a command of several."""
    return replace(limits, max_body_size=max(int(limits.max_body_size), limits.max_msg_size + 8))
