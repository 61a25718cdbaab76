"""``/config/<opt>``: what every option is, and the two that can be changed while the daemon runs (reference, 5.6)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import fields

from nsqcore import logs
from nsqcore.api_server import Endpoint
from nsqcore.errors import HttpError
from nsqcore.http_exchange import Body, Request
from nsqcore.option_values import BadOption, read_level, read_texts, told
from nsqd.options import Options


class ConfigApi:
    """Reads the options of a daemon, changes two of them; nothing is written to any file."""

    def __init__(
        self,
        options: Options,
        *,
        broadcast_ports: tuple[int, int],
        connect_lookupds: Callable[[Iterable[str]], None],
    ) -> None:
        """``broadcast_ports`` are the real ones, of TCP and HTTP; ``connect_lookupds`` gets the new addresses."""
        self._options = options
        self._connect_lookupds = connect_lookupds
        self._keys = {f.metadata["key"] or f.name: f.name for f in fields(options) if f.metadata}
        tcp_port, http_port = broadcast_ports
        self._resolved: dict[str, object] = {
            "broadcast_tcp_port": tcp_port,
            "broadcast_http_port": http_port,
        }
        """What is answered instead of the option's own value."""

    def endpoints(self) -> list[Endpoint]:
        """For the API's table."""
        return [
            Endpoint("GET", "/config/{opt}", self.get),
            Endpoint("PUT", "/config/{opt}", self.put),
        ]

    async def get(self, request: Request) -> Body:
        """The value of an option."""
        return self._value(request.args["opt"])

    async def put(self, request: Request) -> Body:
        """Sets an option, with effect at once; answers with the new value."""
        too_long = HttpError(413, "INVALID_VALUE")
        body = await request.body.read(self._options.max_msg_size, too_long)
        if not body:
            raise too_long
        key = request.args["opt"]
        if key == "nsqlookupd_tcp_addresses":
            addresses = read_texts(body)
            self._options.nsqlookupd_tcp_addresses = addresses or []
            self._resolved[key] = addresses
            self._connect_lookupds(addresses or ())
        elif key == "log_level":
            level = read_level(body)
            self._options.log_level = level
            logs.set_level(level)
        else:
            raise BadOption
        return self._value(key)

    def _value(self, key: str) -> Body:
        if key not in self._keys:
            raise BadOption
        value = self._resolved[key] if key in self._resolved else getattr(self._options, self._keys[key])
        return told(value)
