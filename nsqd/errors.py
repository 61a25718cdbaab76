"""How nsqd refuses: what goes on the wire, and whether the connection survives it."""

from __future__ import annotations


class ProtocolError(Exception):
    """A command is refused: the client gets ``CODE description`` in an error frame and may go on."""

    def __init__(self, code: str, description: str = "", cause: str = "") -> None:
        """``cause`` is for the log; of what failed, it is what the description says behind that word."""
        super().__init__(f"{code} {description}" if description else code)
        self.code = code
        self.cause = cause or (description.partition(" failed ")[2] if code.endswith("_FAILED") else "")

    @property
    def wire(self) -> bytes:
        """The data of the error frame."""
        return str(self).encode("utf-8", "surrogateescape")


class FatalError(ProtocolError):
    """As ProtocolError, and the connection is closed behind it."""


class BatchError(Exception):
    """The body of an MPUB is wrong: ``kind`` is BODY (its count) or MESSAGE (one of its messages)."""

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind


class ShortBatch(BatchError):
    """The body of an MPUB ends before its last message does."""


class Refused(Exception):
    """A topic or channel does not take part any more, or could not store what was given to it."""


EXITING = "exiting"
"""The reason of a :class:`Refused` when the topic or channel is being deleted or the daemon stops."""
