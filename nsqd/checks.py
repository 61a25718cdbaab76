"""What must be so before nsqd starts: the original's checks in the original's order, then ours.

Each failure is one line, ``failed to instantiate nsqd - reason``, and exit status 1. The data folder is
locked before, and the addresses are listened at behind.
"""

from __future__ import annotations

from nsqcore.durations import NS_PER_MS
from nsqcore.errors import StartError
from nsqcore.options import check_limits
from nsqd.options import Options


def check(options: Options) -> None:
    """Raises StartError for the first thing that is wrong."""
    check_limits(options, "max_deflate_level", "node_id")
    _auth_method(options)
    _percentiles(options)
    # The original has no more checks: what follows would crash it later, or leave it of no use.
    check_limits(options)
    _statsd_interval(options)


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
