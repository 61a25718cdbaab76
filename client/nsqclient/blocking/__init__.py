"""The client for scripts and threads: :class:`Producer` and :class:`Consumer` without an event loop of yours.

Import this package by itself: ``from nsqclient import blocking``.
"""

from nsqclient.blocking.consumer import Consumer
from nsqclient.blocking.message import Message
from nsqclient.blocking.producer import Producer

__all__ = ["Consumer", "Message", "Producer"]
