"""Where to connect and how, in one URL or in the environment: what a deployment decides, not the program.

::

    nsqlookup://lookup-1:4161,lookup-2:4161/custom/lookup?tls=require&compress=snappy
    nsqlookups://lookup-1:4161                    nsqlookupd over https
    nsqd://10.0.0.1:4150,[2001:db8::7]:4150?heartbeat=10s
    nsqd+unix:///run/nsqd.sock
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, unquote

from nsqclient.checks import check_kind
from nsqclient.connection.options import ConnectionOptions, Topology
from nsqclient.discovery.dialing import UNIX_PREFIX
from nsqclient.discovery.targets import Lookup, Nsqd, Target, to_target
from nsqclient.errors import ConfigError
from nsqclient.limits import Limits
from nsqclient.tls import Tls
from nsqcore.addresses import HostPort, parse_host_port
from nsqcore.durations import Duration

NSQD_PORT, LOOKUPD_PORT = 4150, 4161
"""Where a URL names no port."""
_SCHEMES = ("nsqd", "nsqd+unix", "nsqlookup", "nsqlookups")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A target and the options for its connections; accepted wherever a target is, in place of both."""

    target: Nsqd | Lookup
    """What to connect to."""
    options: ConnectionOptions
    """How."""

    def with_options(self, **changes: Any) -> Endpoint:
        """The same with some options changed, by their names in :class:`ConnectionOptions`."""
        return Endpoint(self.target, dataclasses.replace(self.options, **changes))


def resolve(
    target: Target | Endpoint, options: ConnectionOptions | None
) -> tuple[Nsqd | Lookup, ConnectionOptions]:
    """What a producer or consumer was given; raises ConfigError."""
    check_kind("options", options, ConnectionOptions)
    if not isinstance(target, Endpoint):
        return to_target(target), options or ConnectionOptions()
    if options is not None:
        raise ConfigError("an Endpoint brings its options; change them with its with_options()")
    return target.target, target.options


def from_url(url: str) -> Endpoint:
    """Reads a URL; raises ConfigError, which never repeats what may be a secret."""
    return _build(_read_url(url), {})


def from_env(environ: Mapping[str, str] | None = None) -> Endpoint:
    """Reads ``NSQ_URL``, and what of ``NSQ_AUTH_SECRET``, ``NSQ_TLS_CA`` and the others there is.

    An empty variable counts as none. A setting is given in the URL or in a variable, not in both. Raises
    ConfigError, which names the variable.
    """
    environ = os.environ if environ is None else environ
    given = {name: environ[name] for name in ("NSQ_URL", *_VARIABLES, *_SECRETS) if environ.get(name)}
    if "NSQ_URL" not in given:
        raise ConfigError("NSQ_URL is not set; it says where nsqd or nsqlookupd is: nsqd://host:4150")
    parts = _read_url(given["NSQ_URL"])
    for variable, name in _VARIABLES.items():
        if variable in given:
            if name in parts.settings:
                raise ConfigError(f"{name} is given both in NSQ_URL and as {variable}")
            parts.settings[name] = given[variable]
    return _build(parts, {name: given[name] for name in _SECRETS if name in given})


# ---- settings


def _number(text: str) -> float:
    return float(text)


def _seconds(text: str) -> float:
    """``30``, ``0.25`` or Go's ``250ms``."""
    try:
        return float(text)
    except ValueError:
        return Duration.parse(text).seconds


def _flag(text: str) -> bool:
    if text.lower() not in ("true", "false", "1", "0", "yes", "no"):
        raise ValueError("want true or false")
    return text.lower() in ("true", "1", "yes")


_OPTIONS: dict[str, Callable[[str], object]] = {
    "compress": str,
    "heartbeat": _seconds,
    "msg_timeout": _seconds,
    "output_buffer_size": int,
    "output_buffer_timeout": _seconds,
    "sample_rate": int,
    "client_id": str,
    "hostname": str,
    "user_agent": str,
    "local_addr": str,
    "dial_timeout": _seconds,
    "handshake_timeout": _seconds,
    "read_timeout": _seconds,
    "write_timeout": _seconds,
}
_LIMITS: dict[str, Callable[[str], object]] = {
    "max_msg_size": int,
    "max_body_size": int,
    "max_delay": _seconds,
}
_TLS: dict[str, Callable[[str], object]] = {
    "tls": str,
    "tls_ca": str,
    "tls_cert": str,
    "tls_key": str,
    "tls_server_name": str,
    "tls_verify": _flag,
    "tls_min_version": str,
}
_TOPOLOGY: dict[str, Callable[[str], object]] = {"topology_region": str, "topology_zone": str}
_LOOKUP: dict[str, Callable[[str], object]] = {
    "ask": str,
    "poll_interval": _seconds,
    "poll_jitter": _number,
    "connect_timeout": _seconds,
    "request_timeout": _seconds,
    "drop_missing_after": _seconds,
}
_EVERY = _OPTIONS | _LIMITS | _TLS | _TOPOLOGY
_VARIABLES = {
    f"NSQ_{name.upper()}": name
    for name in (*_TLS, *_TOPOLOGY, "compress", "heartbeat", "msg_timeout", "client_id", "user_agent")
}
_SECRETS = ("NSQ_AUTH_SECRET", "NSQ_AUTH_SECRET_FILE", "NSQ_LOOKUP_AUTH_SECRET")


# ---- reading


class _Parts(NamedTuple):
    scheme: str
    hosts: list[str]
    path: str
    settings: dict[str, str]


def _read_url(url: str) -> _Parts:
    scheme, sep, rest = url.partition("://")
    if not sep or scheme not in _SCHEMES:
        hint = f"; for nsqlookupd write nsqlookup{'s' * (scheme == 'https')}://" if "http" in scheme else ""
        raise ConfigError(f"a URL begins with {', '.join(f'{s}://' for s in _SCHEMES)}{hint}")
    if not url.isascii() or not url.isprintable() or " " in url:
        raise ConfigError("a URL has no spaces, control or non-ASCII characters; write them as %20 and so on")
    if "#" in url:
        raise ConfigError("a URL for NSQ has no fragment (#)")
    before, _, query = rest.partition("?")
    authority, slash, path = before.partition("/")
    if "@" in authority:
        raise ConfigError("a secret does not belong in a URL; give it as auth= or in NSQ_AUTH_SECRET")
    settings: dict[str, str] = {}
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query), errors="strict")
    except ValueError:
        raise ConfigError(
            "the part of the URL behind the ? is not of the form name=value&name=value"
        ) from None
    for name, value in pairs:
        if name in ("auth", "auth_secret", "secret"):
            raise ConfigError("a secret does not belong in a URL; give it as auth= or in NSQ_AUTH_SECRET")
        if name in settings:
            raise ConfigError(f"{name} is given twice in the URL")
        settings[name] = value
    known = _EVERY | (_LOOKUP if scheme.startswith("nsqlookup") else {})
    for name in settings:
        if name not in known:
            where = " for a nsqd" if name in _LOOKUP else ""
            raise ConfigError(f"{name!r} is no setting{where}; there are {', '.join(sorted(known))}")
    return _Parts(scheme, authority.split(",") if authority else [], slash + path, settings)


def _build(parts: _Parts, secrets: Mapping[str, str]) -> Endpoint:
    given: dict[str, Any] = {name: _convert(name, text) for name, text in parts.settings.items()}
    tls = _tls(given)
    options: dict[str, Any] = {name: given[name] for name in _OPTIONS if name in given}
    if any(name in given for name in _LIMITS):
        options["limits"] = Limits(**{name: given[name] for name in _LIMITS if name in given})
    if any(name in given for name in _TOPOLOGY):
        options["topology"] = Topology(
            **{name.removeprefix("topology_"): given[name] for name in _TOPOLOGY if name in given}
        )
    if "NSQ_AUTH_SECRET" in secrets and "NSQ_AUTH_SECRET_FILE" in secrets:
        raise ConfigError("both NSQ_AUTH_SECRET and NSQ_AUTH_SECRET_FILE are set")
    if "NSQ_AUTH_SECRET" in secrets:
        options["auth"] = secrets["NSQ_AUTH_SECRET"]
    elif "NSQ_AUTH_SECRET_FILE" in secrets:
        options["auth"] = SecretFile(secrets["NSQ_AUTH_SECRET_FILE"])
    return Endpoint(_target(parts, given, tls, secrets), ConnectionOptions(tls=tls, **options))


def _target(
    parts: _Parts, given: Mapping[str, Any], tls: Tls | None, secrets: Mapping[str, str]
) -> Nsqd | Lookup:
    if parts.scheme == "nsqd+unix":
        if parts.hosts or len(parts.path) < 2:
            raise ConfigError("a unix socket's URL is nsqd+unix:///path/to/the.sock")
        return Nsqd(UNIX_PREFIX + unquote(parts.path))
    if not parts.hosts:
        raise ConfigError(f"the URL names no host: {parts.scheme}://host")
    if parts.scheme == "nsqd":
        if "NSQ_LOOKUP_AUTH_SECRET" in secrets:
            raise ConfigError("NSQ_LOOKUP_AUTH_SECRET is set, and NSQ_URL names no nsqlookupd")
        if parts.path.strip("/"):
            raise ConfigError("the URL of a nsqd has no path")
        return Nsqd(*(str(_host_port(text, NSQD_PORT)) for text in parts.hosts))
    scheme = "https" if parts.scheme == "nsqlookups" else "http"
    urls = [f"{scheme}://{_host_port(text, LOOKUPD_PORT)}{parts.path}" for text in parts.hosts]
    settings: dict[str, Any] = {name: given[name] for name in _LOOKUP if name in given}
    if scheme == "https" and tls is not None:
        settings["tls"] = tls
    return Lookup(*urls, auth=secrets.get("NSQ_LOOKUP_AUTH_SECRET"), **settings)


def _host_port(text: str, port: int) -> HostPort:
    """Reads ``host``, ``host:port``, ``[v6]`` or ``[v6]:port``; raises ConfigError."""
    if ":" not in text.rpartition("]")[2]:
        text = f"{text}:{port}"
    try:
        found = parse_host_port(text)
    except ValueError as e:
        raise ConfigError(f"in the URL: {e}") from None
    if not found.host or not found.port or set(found.host) & set("[]%\\"):
        raise ConfigError(f"in the URL: {text} is no host with a port")
    return found


def _convert(name: str, text: str) -> object:
    try:
        return (_EVERY | _LOOKUP)[name](text)
    except ValueError as e:
        raise ConfigError(f"{name} is {text!r}: {e}") from None


def _tls(given: Mapping[str, Any]) -> Tls | None:
    mode = given.get("tls", "require" if any(name in given for name in _TLS) else "off")
    if mode == "off":
        if any(name in given for name in _TLS if name != "tls"):
            raise ConfigError("tls is off, and there are settings for it")
        return None
    if mode not in ("require", "prefer"):
        raise ConfigError(f"tls is {mode!r}, want 'require', 'prefer' or 'off'")
    if ("tls_cert" in given) != ("tls_key" in given):
        raise ConfigError("tls_cert and tls_key are given together or not at all")
    settings: dict[str, Any] = {
        name.removeprefix("tls_"): given[name]
        for name in ("tls_ca", "tls_server_name", "tls_verify", "tls_min_version")
        if name in given
    }
    if "tls_cert" in given:
        settings["cert"] = (given["tls_cert"], given["tls_key"])
    return Tls(mode=mode, **settings)


class SecretFile:
    """Reads a secret from a file, anew for each connection; white space around it does not count."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __call__(self) -> str:
        """The secret as of now; raises OSError."""
        with open(self.path, encoding="utf-8") as file:
            return file.read().strip()

    def __repr__(self) -> str:
        return f"SecretFile({self.path!r})"
