"""Where to connect: nsqd addresses, or nsqlookupds that know them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Literal, Protocol, runtime_checkable
from urllib.parse import urlsplit, urlunsplit

from nsqclient.credentials import Secret, check_secret
from nsqclient.discovery.dialing import UNIX_PREFIX, Dialer
from nsqclient.discovery.found import FoundNode
from nsqclient.durations import Seconds, to_seconds
from nsqclient.errors import ConfigError
from nsqclient.tls import Tls
from nsqcore.addresses import parse_host_port


class Nsqd(Dialer):
    """One nsqd or more, by address: ``host:port``, ``[v6]:port`` or ``unix:/path``."""

    def __init__(self, *addresses: str) -> None:
        if not addresses:
            raise ConfigError("no nsqd address is given")
        for address in addresses:
            if not isinstance(address, str):
                raise ConfigError(f"{address!r} is not a nsqd address, such as 'host:4150'")
        for address in addresses:
            _check_address(address)
        self.addresses: tuple[str, ...] = tuple(dict.fromkeys(addresses))

    def __repr__(self) -> str:
        return f"Nsqd({', '.join(map(repr, self.addresses))})"


DiscoveryFilter = Callable[[Sequence[FoundNode]], Iterable[FoundNode]]
"""Given the nsqds that were found, returns those to use."""


class Lookup(Dialer):
    """nsqlookupds by their HTTP addresses; all are asked at once, and their answers merged.

    A URL's scheme defaults to ``http`` and its path to ``/lookup``; a query string is kept. Consumers ask
    ``/lookup`` for the nsqds that have their topic. Producers ask ``/nodes`` for all nsqds, as a topic
    need not exist yet; a custom path has its ``lookup`` at the end replaced by ``nodes`` for that.
    """

    def __init__(
        self,
        *urls: str,
        ask: Literal["all", "one"] = "all",
        auth: Secret | None = None,
        tls: Tls | None = None,
        discovery_filter: DiscoveryFilter | None = None,
        poll_interval: Seconds = 60.0,
        poll_jitter: float = 0.3,
        connect_timeout: Seconds = 2.0,
        request_timeout: Seconds = 5.0,
        drop_missing_after: Seconds = 300.0,
    ) -> None:
        """Times are seconds.

        ``ask="one"`` asks one nsqlookupd per poll, in turn; if it does not answer or knows no nsqd, the
        next ones, three in all. ``auth`` is sent to them as ``Authorization: Bearer``; a function is called
        for each poll. ``tls`` is how ``https`` URLs are trusted: its authorities and client certificate.
        ``discovery_filter`` gets the nsqds found, all nsqlookupds together, and returns those to use.

        Polls are ``poll_interval`` apart, each shortened by a random share of up to ``poll_jitter`` (0 to
        1) of it. A nsqd that no nsqlookupd has named for ``drop_missing_after``, and that can't be
        reached, is forgotten; one that is connected stays.
        """
        if not urls:
            raise ConfigError("no nsqlookupd address is given")
        self.lookup_urls: tuple[str, ...] = tuple(dict.fromkeys(_lookup_url(url) for url in urls))
        self.nodes_urls: tuple[str, ...] = tuple(_nodes_url(url) for url in self.lookup_urls)
        self.poll_interval: float = to_seconds(poll_interval)
        self.poll_jitter = poll_jitter
        self.connect_timeout: float = to_seconds(connect_timeout)
        self.request_timeout: float = to_seconds(request_timeout)
        self.drop_missing_after: float = to_seconds(drop_missing_after)
        if self.poll_interval <= 0 or self.connect_timeout <= 0 or self.request_timeout <= 0:
            raise ConfigError("the intervals and timeouts of a Lookup are positive")
        if ask not in ("all", "one"):
            raise ConfigError(f"ask is {ask!r}, want 'all' or 'one'")
        if auth is not None:
            check_secret("auth", auth)
        if tls is not None and not all(url.startswith("https:") for url in self.lookup_urls):
            raise ConfigError("tls is given, and a nsqlookupd's URL is not https")
        self.ask = ask
        self.auth = auth
        self.tls = tls
        self.discovery_filter = discovery_filter
        if not 0 <= poll_jitter <= 1:
            raise ConfigError(f"poll_jitter is {poll_jitter}, want 0 to 1")

    def __repr__(self) -> str:
        return f"Lookup({', '.join(map(repr, self.lookup_urls))})"


@runtime_checkable
class Standin(Protocol):
    """What stands for a target, as the fake cluster of ``nsqclient.testing`` does."""

    @property
    def target(self) -> Nsqd | Lookup:
        """What to connect to."""


Target = Nsqd | Lookup | Standin | str | Iterable[str]
"""What a producer or consumer connects to; a plain string or several are nsqd addresses."""


def to_target(target: Target) -> Nsqd | Lookup:
    """Reads plain strings as nsqd addresses; raises ConfigError for what is not an address."""
    if isinstance(target, Nsqd | Lookup):
        return target
    if isinstance(target, Standin):
        return target.target
    if not isinstance(target, Iterable):
        raise ConfigError(f"a target is an address, several, a Nsqd or a Lookup, not {type(target).__name__}")
    return Nsqd(target) if isinstance(target, str) else Nsqd(*target)


def _check_address(address: str) -> None:
    if "://" in address:
        raise ConfigError(
            f"{address} is a URL, not a nsqd address; for a nsqlookupd give Lookup({address!r})"
        )
    if address.startswith(UNIX_PREFIX):
        if address == UNIX_PREFIX:
            raise ConfigError("a unix socket's address is unix:/path")
        return
    try:
        parse_host_port(address)
    except ValueError as e:
        raise ConfigError(str(e)) from None


def _lookup_url(text: str) -> str:
    wrong = ConfigError(f"{_safe(text)} is not a nsqlookupd address, such as http://host:4161")
    if not text.isprintable() or " " in text:
        raise wrong
    try:
        parts = urlsplit(text if "://" in text else f"http://{text}")
        complete = parts.scheme in ("http", "https") and parts.hostname and parts.port
    except ValueError:
        raise wrong from None
    if not complete:
        raise wrong
    if parts.username is not None or parts.password is not None:
        raise ConfigError("a secret does not belong in the URL of a nsqlookupd; give it as auth=")
    return urlunsplit(parts._replace(path=parts.path if parts.path.strip("/") else "/lookup", fragment=""))


def _safe(url: str) -> str:
    """The URL without what may be a secret."""
    scheme, sep, rest = url.partition("://")
    return f"{scheme}{sep}***@{rest.rpartition('@')[2]}" if "@" in rest else url


def _nodes_url(lookup_url: str) -> str:
    parts = urlsplit(lookup_url)
    stem = parts.path.rstrip("/").removesuffix("/lookup")
    return urlunsplit(parts._replace(path=f"{stem}/nodes"))
