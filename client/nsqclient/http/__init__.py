"""The daemons' HTTP APIs, typed: :class:`Nsqd` and :class:`Lookupd`.

Import this package by itself (``from nsqclient.http import Nsqd``): it takes aiohttp along.
"""

from nsqclient.http.lookupd import Lookupd
from nsqclient.http.nsqd import Nsqd

__all__ = ["Lookupd", "Nsqd"]
