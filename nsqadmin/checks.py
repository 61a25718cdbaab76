"""What must be so before nsqadmin starts: the original's checks in the original's order, then ours.

Each failure is one line, ``failed to instantiate nsqadmin - reason``, and exit status 1.
"""

from __future__ import annotations

import asyncio
import os
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nsqadmin.options import Options
from nsqadmin.urls import Service, read_service
from nsqadmin.web.nearby import Network, read_network
from nsqcore.addresses import HostPort, go_host_port
from nsqcore.durations import NS_PER_S
from nsqcore.errors import StartError
from nsqcore.golang import go_reason
from nsqcore.options import check_limits

if TYPE_CHECKING:
    import ssl


@dataclass(frozen=True, slots=True)
class Checked:
    """What the options mean, once they are known to make sense."""

    lookupds: list[str]
    """``host:port`` of each nsqlookupd, as URLs want it."""
    nsqds: list[str]
    tls: ssl.SSLContext | None
    """How daemons are asked over HTTPS; None where the options say nothing of it."""
    config_from: Network | None
    """Who may ask ``/config``; None: nobody."""
    graphite: Service | None


async def check(options: Options) -> Checked:
    """Raises StartError for the first thing that is wrong, in the original's words."""
    if not options.lookupd_http_addresses and not options.nsqd_http_addresses:
        raise StartError("--nsqd-http-address or --lookupd-http-address required")
    if options.lookupd_http_addresses and options.nsqd_http_addresses:
        raise StartError("use --nsqd-http-address or --lookupd-http-address not both")
    tls = _tls(options)
    lookupds = [await resolve("lookupd", address) for address in options.lookupd_http_addresses]
    nsqds = [await resolve("nsqd", address) for address in options.nsqd_http_addresses]
    graphite = _service("graphite-url", options.graphite_url) if options.graphite_url else None
    network = _network(options.allow_config_from_cidr)
    # The original has no more checks: what follows would crash it later, or leave it of no use.
    check_limits(options)
    if options.notification_http_endpoint:
        _service("notification-http-endpoint", options.notification_http_endpoint)
    if graphite is not None and options.statsd_interval < NS_PER_S:
        raise StartError("--statsd-interval must be 1s or more")
    if options.dev_static_dir and not Path(options.dev_static_dir).is_dir():
        raise StartError(f"--dev-static-dir ({options.dev_static_dir}) is no folder")
    if options.data_path and not os.access(options.data_path, os.W_OK | os.X_OK):
        raise StartError(f"--data-path ({options.data_path}) is no folder that can be written to")
    return Checked(lookupds, nsqds, tls, network, graphite)


def _network(cidr: str) -> Network | None:
    try:
        return read_network(cidr) if cidr else None
    except ValueError as e:
        raise StartError(f"failed to parse --allow-config-from-cidr ({cidr}) - {e}") from None


def _service(flag: str, url: str) -> Service:
    try:
        return read_service(url)
    except ValueError as e:
        raise StartError(f"failed to parse --{flag} ({url}) - {e}") from None


def _tls(options: Options) -> ssl.SSLContext | None:
    cert, key = options.http_client_tls_cert, options.http_client_tls_key
    if cert and not key:
        raise StartError("--http-client-tls-key must be specified with --http-client-tls-cert")
    if key and not cert:
        raise StartError("--http-client-tls-cert must be specified with --http-client-tls-key")
    roots, anybody = options.http_client_tls_root_ca_file, options.http_client_tls_insecure_skip_verify
    if not cert and not roots and not anybody:
        return None
    import ssl  # late, with what follows: only for who asks

    from nsqcore.tls_files import TlsFileError, load_pair, read_pem, trust

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if cert:
        try:
            load_pair(context, cert, key)
        except TlsFileError as e:
            raise StartError(f"failed to LoadX509KeyPair {cert}, {key} - {e}") from None
    if roots:
        try:
            pem = read_pem(roots)
        except TlsFileError as e:
            raise StartError(f"failed to read TLS root CA file {roots} - {e}") from None
        if not trust(context, pem):
            raise StartError(f"failed to AppendCertsFromPEM {roots}")
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # what is in the file is trusted, root or not
    elif not anybody:
        context.load_default_certs()
    if anybody:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


async def resolve(kind: str, address: str) -> str:
    """The address as URLs want it; raises StartError when its form is wrong or its name does not resolve."""
    try:
        host, port = go_host_port(address)
        await asyncio.get_running_loop().getaddrinfo(host or None, port, type=socket.SOCK_STREAM)
    except (OSError, ValueError) as e:
        reason = f"lookup {host}: {go_reason(e)}" if isinstance(e, OSError) else str(e)
        raise StartError(f"failed to resolve --{kind}-http-address ({address}) - {reason}") from None
    return str(HostPort(host or "127.0.0.1", port))
