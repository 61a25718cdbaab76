"""What tests of programs that use NSQ need: time that obeys, bad weather on demand."""

from nsqclient.testing.clock import Clock, LoopNeverRests
from nsqclient.testing.proxy import FaultyProxy

__all__ = ["Clock", "FaultyProxy", "LoopNeverRests"]
