"""Pushes NSQ's messages to browsers over WebSockets: :class:`Bridge`, and the program ``nsq_to_ws``.

Import this package by itself: ``from nsqclient.push import Bridge, Settings``.
"""

from nsqclient.push.auth import HttpAuth
from nsqclient.push.grants import Authenticator, Denied, Grant, Permission, Unavailable
from nsqclient.push.jwt_auth import JwtAuth
from nsqclient.push.server import Bridge
from nsqclient.push.settings import Settings

__all__ = [
    "Authenticator",
    "Bridge",
    "Denied",
    "Grant",
    "HttpAuth",
    "JwtAuth",
    "Permission",
    "Settings",
    "Unavailable",
]
