"""Every option of ``nsq_to_ws``, once: name, default, help; and the bridge that they make."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

from nsqclient.connection.endpoint import Endpoint, SecretFile, from_url
from nsqclient.connection.options import ConnectionOptions
from nsqclient.discovery.targets import Lookup, Nsqd
from nsqclient.durations import to_seconds
from nsqclient.errors import ConfigError
from nsqclient.push.auth import HttpAuth, NoAuth
from nsqclient.push.grants import Authenticator
from nsqclient.push.jwt_auth import JwtAuth
from nsqclient.push.server import Bridge
from nsqclient.push.settings import Settings
from nsqcore.command_line import CommandLine
from nsqcore.durations import Duration
from nsqcore.logs import LogFormat, LogLevel
from nsqcore.options import option

ABOUT = """
nsq_to_ws pushes NSQ's messages to browsers over WebSockets. A first try, on one machine:

  nsqd &
  nsq_to_ws --nsqd-tcp-address=127.0.0.1:4150 --user-topic=notifications --no-auth --demo &
  # open http://127.0.0.1:4180 and connect with the token "ann", then
  curl -d '{"to": "ann", "text": "hello"}' 'http://127.0.0.1:4151/pub?topic=notifications'

Run as many as you like behind a load balancer: they share nothing but NSQ. Durations need a unit: 250ms,
30s, 1h30m. Every flag may also stand in the TOML file of --config, with _ for - in its name.
"""
NS = 1_000_000_000
POLL_INTERVAL = 15.0
"""Seconds: a nsqd on which a topic is new is found within these; until then its messages reach no browser."""


def _settings_default(name: str) -> Duration:
    return Duration(round(float(getattr(_DEFAULTS, name)) * NS))


_DEFAULTS = Settings()


@dataclass(frozen=True)
class Options:
    """Settings of one nsq_to_ws."""

    log_level: LogLevel = option(
        LogLevel("INFO"), "log from this level on: debug, info, warn, error or fatal", parse=LogLevel.parse
    )
    log_prefix: str = option("[nsq_to_ws] ", "text at the start of each log line")
    log_format: LogFormat = option(
        LogFormat("text"), "text, or json: one object per line", parse=LogFormat.parse
    )
    http_address: str = option("127.0.0.1:4180", "host:port that browsers connect to")
    admin_address: str = option(
        "", "host:port of /ping, /health, /metrics and /stats, which browsers need not see"
    )
    tls_cert: str = option("", "PEM file with the certificate that browsers see; makes it wss and https")
    tls_key: str = option("", "PEM file with the key of --tls-cert")
    demo: bool = option(False, "serve a page to try things at /")
    nsqd_tcp_address: list[str] = option([], "host:port of a nsqd")
    lookupd_http_address: list[str] = option([], "host:port of a nsqlookupd")
    nsq_url: str = option(
        "", "where NSQ is and how to connect, in one: nsqd://host:4150?tls_ca=ca.pem, nsqlookup://host:4161"
    )
    auth_secret: str = option("", "secret for nsqds that ask for AUTH")
    auth_secret_file: str = option("", "file with the secret for nsqds, read again for each connection")
    node: str = option(_DEFAULTS.node, "name of this bridge, for people")
    user_topic: list[str] = option([], "topic whose messages are addressed to users")
    user_key: str = option(
        _DEFAULTS.user_key, "where a JSON message names its user: a member, or a path such as meta.user"
    )
    user_header: str = option("", "header that names the user, instead of --user-key")
    auth_http_address: list[str] = option([], "host:port or URL of a service that checks tokens, as nsqd's")
    auth_http_request_method: str = option("get", "how the auth service is asked: get or post")
    jwt_key_file: str = option("", "file with the secret or public key (PEM) of JSON Web Tokens")
    jwt_algorithm: list[str] = option([], "algorithm of JSON Web Tokens; HS256 without it")
    jwt_audience: str = option("", "aud that JSON Web Tokens must have")
    jwt_issuer: str = option("", "iss that JSON Web Tokens must have")
    no_auth: bool = option(False, "take any token as the user's name and allow everything: for trying only")
    trusted_proxy: list[str] = option([], "address or network of a proxy whose X-Forwarded-For is believed")
    origin: list[str] = option([], "origin whose pages may connect, or *; without it those of this host")
    max_connections: int = option(_DEFAULTS.max_connections, "connections at a time")
    max_connections_per_user: int = option(
        _DEFAULTS.max_connections_per_user, "connections at a time of one user"
    )
    max_subscriptions: int = option(_DEFAULTS.max_subscriptions, "subscriptions of one connection")
    max_topics: int = option(_DEFAULTS.max_topics, "topics and channels that browsers subscribe to, in all")
    max_outstanding: int = option(_DEFAULTS.max_outstanding, "messages a browser may leave unacknowledged")
    max_outstanding_bytes: int = option(
        _DEFAULTS.max_outstanding_bytes, "bytes that a browser may leave unacknowledged"
    )
    slow: str = option(
        _DEFAULTS.slow, "beyond --max-outstanding: close the connection, or drop messages for it"
    )
    max_in_flight: int = option(_DEFAULTS.max_in_flight, "messages of one topic that may wait for browsers")
    attempts: int = option(_DEFAULTS.attempts, "deliveries of a message that is handed back; 0 is any number")
    ack_timeout: Duration = option(
        _settings_default("ack_timeout"), "how long a browser may take to acknowledge"
    )
    heartbeat: Duration = option(_settings_default("heartbeat"), "how often silent browsers are pinged")
    rate: int = option(int(_DEFAULTS.rate), "commands that a browser may send per second")


def command_line() -> CommandLine:
    """The parser of the command line and config file."""
    return CommandLine("nsq_to_ws", Options, about=ABOUT)


def make_bridge(options: Options) -> Bridge:
    """The bridge that these options describe; raises ConfigError and OSError."""
    if options.slow not in ("close", "drop"):
        raise ConfigError("--slow must be close or drop")
    ack_timeout = options.ack_timeout / NS
    settings = Settings(
        node=options.node,
        user_topics=tuple(options.user_topic),
        user_key=options.user_key,
        user_header=options.user_header,
        origins=tuple(options.origin),
        trusted_proxies=tuple(options.trusted_proxy),
        max_connections=options.max_connections,
        max_connections_per_user=options.max_connections_per_user,
        max_subscriptions=options.max_subscriptions,
        max_topics=options.max_topics,
        max_outstanding=options.max_outstanding,
        max_outstanding_bytes=options.max_outstanding_bytes,
        slow="drop" if options.slow == "drop" else "close",
        max_in_flight=options.max_in_flight,
        attempts=options.attempts,
        ack_timeout=ack_timeout,
        send_timeout=min(to_seconds(_DEFAULTS.send_timeout), ack_timeout),
        heartbeat=options.heartbeat / NS,
        rate=float(options.rate),
    )
    return Bridge(
        _endpoint(options),
        _authenticator(options),
        settings=settings,
        address=options.http_address,
        admin_address=options.admin_address,
        tls=_tls(options),
        demo=options.demo,
    )


def _endpoint(options: Options) -> Endpoint:
    ways = [bool(options.nsqd_tcp_address), bool(options.lookupd_http_address), bool(options.nsq_url)]
    if sum(ways) != 1:
        raise ConfigError("give one of --nsqd-tcp-address, --lookupd-http-address and --nsq-url")
    if options.auth_secret and options.auth_secret_file:
        raise ConfigError("give either --auth-secret or --auth-secret-file")
    if options.nsq_url:
        endpoint = from_url(options.nsq_url)
    elif options.nsqd_tcp_address:
        endpoint = Endpoint(Nsqd(*options.nsqd_tcp_address), ConnectionOptions())
    else:
        lookup = Lookup(*options.lookupd_http_address, poll_interval=POLL_INTERVAL)
        endpoint = Endpoint(lookup, ConnectionOptions())
    changes: dict[str, object] = {}
    if options.auth_secret_file:
        changes["auth"] = SecretFile(options.auth_secret_file)
    elif options.auth_secret:
        changes["auth"] = options.auth_secret
    if endpoint.options.client_id is None:
        changes["client_id"] = options.node
    return endpoint.with_options(**changes)


def _authenticator(options: Options) -> Authenticator:
    chosen = [bool(options.auth_http_address), bool(options.jwt_key_file), options.no_auth]
    if sum(chosen) != 1:
        raise ConfigError("give one of --auth-http-address, --jwt-key-file and --no-auth")
    if options.no_auth:
        return NoAuth()
    if options.jwt_key_file:
        return JwtAuth(
            Path(options.jwt_key_file).read_text("utf-8").strip(),
            algorithms=options.jwt_algorithm or ("HS256",),
            audience=options.jwt_audience or None,
            issuer=options.jwt_issuer or None,
        )
    method = options.auth_http_request_method
    if method not in ("get", "post"):
        raise ConfigError("--auth-http-request-method must be post or get")
    return HttpAuth(*options.auth_http_address, method="post" if method == "post" else "get")


def _tls(options: Options) -> ssl.SSLContext | None:
    if not options.tls_cert and not options.tls_key:
        return None
    if not options.tls_cert or not options.tls_key:
        raise ConfigError("--tls-cert and --tls-key belong together")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(options.tls_cert, options.tls_key)
    return context
