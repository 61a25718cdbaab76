"""What tests of programs that use NSQ need: a cluster in memory, time that obeys, bad weather on demand."""

from nsqclient.testing.agreement import Account, NodeOptions
from nsqclient.testing.clock import Clock, LoopNeverRests
from nsqclient.testing.cluster import FakeCluster
from nsqclient.testing.conversation import BadConversation
from nsqclient.testing.lookup import FakeLookup
from nsqclient.testing.node import FakeNode
from nsqclient.testing.process import NsqdProcess, find_nsqd
from nsqclient.testing.proxy import FaultyProxy
from nsqclient.testing.record import Commands
from nsqclient.testing.recorder import CantRecord, Recorder, Replay
from nsqclient.testing.scripted import Link, ScriptedNsqd, drop, ok, refuse, silence

__all__ = [
    "Account",
    "BadConversation",
    "CantRecord",
    "Clock",
    "Commands",
    "FakeCluster",
    "FakeLookup",
    "FakeNode",
    "FaultyProxy",
    "Link",
    "LoopNeverRests",
    "NodeOptions",
    "NsqdProcess",
    "Recorder",
    "Replay",
    "ScriptedNsqd",
    "drop",
    "find_nsqd",
    "ok",
    "refuse",
    "silence",
]
