"""What the nsqds accept, as far as a client has to know it."""

from __future__ import annotations

from dataclasses import dataclass

from nsqclient.durations import Seconds, within


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """What the nsqds accept. nsqd does not announce these, so raise them together with its flags."""

    max_msg_size: int = 1 << 20
    """Bytes of one message (nsqd: ``--max-msg-size``)."""
    max_body_size: int = 5 << 20
    """Bytes of one MPUB with its length fields (nsqd: ``--max-body-size``)."""
    max_delay: Seconds = 3600.0
    """The longest delay of a publish or a requeue (nsqd: ``--max-req-timeout``)."""

    def __post_init__(self) -> None:
        within("max_msg_size", self.max_msg_size, 1)
        within("max_body_size", self.max_body_size, 9)
        within("max_delay", self.max_delay, 0)
