"""Where nsqd or nsqlookupd is, as the command line or the environment tells."""

from __future__ import annotations

import argparse
import os

from nsqclient.connection.endpoint import Endpoint, from_env
from nsqclient.discovery.targets import Lookup, Nsqd
from nsqclient.errors import ConfigError

_LOOKUP_SECRET = "NSQ_LOOKUP_AUTH_SECRET"


def add_where(parser: argparse.ArgumentParser) -> None:
    """The arguments that tell it."""
    group = parser.add_argument_group("where", "One of these; without them the variable NSQ_URL counts.")
    ways = group.add_mutually_exclusive_group()
    ways.add_argument(
        "--nsqd-tcp-address",
        "--nsqd",
        dest="nsqd",
        action="append",
        metavar="HOST:PORT",
        help="a nsqd; may be repeated",
    )
    ways.add_argument(
        "--lookupd-http-address",
        "--lookupd",
        dest="lookupd",
        action="append",
        metavar="HOST:PORT",
        help="a nsqlookupd, or its URL; may be repeated",
    )
    ways.add_argument("--url", help="both in one, with settings: nsqd://HOST:4150?tls=require")


def where(args: argparse.Namespace) -> Endpoint:
    """The target, and the connection options that the environment tells; raises ConfigError."""
    environ = dict(os.environ)
    if args.nsqd:
        nsqd = Nsqd(*args.nsqd)
        environ.pop(_LOOKUP_SECRET, None)
        return Endpoint(nsqd, from_env({**environ, "NSQ_URL": "nsqd://localhost"}).options)
    if args.lookupd:
        lookup = Lookup(*args.lookupd, auth=environ.pop(_LOOKUP_SECRET, None) or None)
        return Endpoint(lookup, from_env({**environ, "NSQ_URL": "nsqd://localhost"}).options)
    if args.url:
        return from_env({**environ, "NSQ_URL": args.url})
    if not environ.get("NSQ_URL"):
        raise ConfigError(
            "nobody says where nsqd is: give --nsqd-tcp-address, --lookupd-http-address or --url, or set NSQ_URL"
        )
    return from_env(environ)
