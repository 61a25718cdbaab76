"""What must be so before nsqd starts: the original's checks in the original's order, then ours.

Each failure is one line, ``failed to instantiate nsqd - reason``, and exit status 1. The data folder is
locked before, and the addresses are listened at behind.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nsqcore.durations import NS_PER_MS
from nsqcore.errors import StartError
from nsqcore.options import check_limits
from nsqd.options import Options

if TYPE_CHECKING:
    from nsqd.layers.tls import Tls


def check(options: Options) -> Tls | None:
    """Raises StartError for the first thing that is wrong; reads the files of TLS, and returns what it is by them.

    None where the options say nothing of TLS.
    """
    check_limits(options, "max_deflate_level", "node_id")
    tls = _tls(options)
    _auth_method(options)
    _percentiles(options)
    # The original has no more checks: what follows would crash it later, or leave it of no use.
    check_limits(options)
    _statsd_interval(options)
    return tls


def _tls(options: Options) -> Tls | None:
    asked = options.tls_cert or options.tls_key or options.tls_root_ca_file
    if not (asked or options.tls_required or options.tls_client_auth_policy):
        return None
    from nsqd.layers.tls import Tls  # here, for importing ssl takes time that only who needs it should spend

    return Tls(options)


def _auth_method(options: Options) -> None:
    if options.auth_http_request_method not in ("post", "get"):
        raise StartError("--auth-http-request-method must be post or get")


def _percentiles(options: Options) -> None:
    for percentile in options.e2e_processing_latency_percentiles:
        if not 0 < percentile <= 1:
            shown = {"inf": "+Inf", "-inf": "-Inf", "nan": "NaN"}.get(str(percentile), f"{percentile:g}")
            raise StartError(f"invalid E2E processing latency percentile: {shown}")


def _statsd_interval(options: Options) -> None:
    if options.statsd_address and options.statsd_interval < NS_PER_MS:
        raise StartError("--statsd-interval must be 1ms or more")
