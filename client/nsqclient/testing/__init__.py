"""What tests of programs that use NSQ need: a cluster in memory, time that obeys, bad weather on demand."""

from nsqclient.testing.agreement import Account, NodeOptions
from nsqclient.testing.clock import Clock, LoopNeverRests
from nsqclient.testing.cluster import FakeCluster
from nsqclient.testing.lookup import FakeLookup
from nsqclient.testing.node import FakeNode
from nsqclient.testing.process import NsqdProcess, find_nsqd
from nsqclient.testing.proxy import FaultyProxy
from nsqclient.testing.record import Commands

__all__ = [
    "Account",
    "Clock",
    "Commands",
    "FakeCluster",
    "FakeLookup",
    "FakeNode",
    "FaultyProxy",
    "LoopNeverRests",
    "NodeOptions",
    "NsqdProcess",
    "find_nsqd",
]
