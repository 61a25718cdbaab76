"""Messages of a consumer that reads headers."""

from __future__ import annotations

from collections.abc import Mapping

from nsqclient.consumer.message import Message, Source
from nsqclient.content.envelope import NO_HEADERS, unwrap
from nsqclient.content.propagation import MESSAGE_KEY, Received, read
from nsqclient.errors import EnvelopeError


class EnvelopedMessage(Message):
    """A message whose body may have come in an envelope: ``body`` is the payload, ``headers`` the rest."""

    __slots__ = ("_brought", "_headers", "broken")

    body: bytes
    """The payload."""
    broken: EnvelopeError | None
    """Why its envelope can't be read; ``body`` is all of it then."""

    def __init__(self, source: Source, data: bytes, received_at: float) -> None:
        super().__init__(source, data, received_at)
        self.broken = None
        self._brought: Received | None = None
        try:
            self._headers, self.body = unwrap(self.body)
        except EnvelopeError as e:
            self._headers = NO_HEADERS
            self.broken = e

    @property
    def headers(self) -> Mapping[str, str]:
        """What came along; empty when there was no envelope."""
        return self._headers

    @property
    def key(self) -> str | None:
        """What names the message itself, whatever its ID; None when the sender gave it no key."""
        return self._headers.get(MESSAGE_KEY)

    @property
    def brought(self) -> Received:
        """What came along from the sender's scope."""
        if self._brought is None:
            self._brought = read(self._headers, self.timestamp_ns)
        return self._brought
