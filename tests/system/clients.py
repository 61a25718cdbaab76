"""Clients that we did not write, each in a process of its own and remote-controlled.

::

    with ForeignClient(PYNSQ, nsqd=[daemon.tcp]) as client:
        client.subscribe("t", "c")
        client.pub("t", b"hello")
        message = client.message()
        client.finish(message)

What they can do is told once, in :data:`CLIENTS`; the page ``docs/clients.md`` says the same.
"""

from __future__ import annotations

import importlib.util
import json
import os
import queue
import shutil
import subprocess
import sys
import threading
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from tests.support.processes import ROOT
from tests.system.waiting import DEADLINE_S

PROGRAMS = Path(__file__).parent / "programs"
NODE = Path(sys.prefix) / "node"
"""Where ``make setup`` installs what ``tests/system/node`` names, and says so when it is complete."""


@dataclass(frozen=True)
class Client:
    """A client and what it is able to do, in the version that we run."""

    name: str
    language: str
    command: Sequence[str]
    lacks: Mapping[str, str] = field(default_factory=dict)
    """Features that it can't do, and why."""

    def missing(self) -> str:
        """Why it can't be run here; empty when it can."""
        if self.language == "Python":
            module = {"pynsq": "nsq"}.get(self.name, self.name)
            return "" if importlib.util.find_spec(module) else f"{self.name} is not installed"
        if shutil.which("node") is None:
            return "there is no node"
        if not (NODE / ".installed").exists():
            return f"{self.name} is not in {NODE}: make setup installs it where there is npm"
        return ""


def _python(module: str) -> list[str]:
    return [sys.executable, "-m", f"tests.system.programs.{module}"]


CLIENTS = {
    client.name: client
    for client in (
        Client(
            "pynsq",
            "Python",
            _python("pynsq_program"),
            {"long messages through snappy": "ends the connection when a read ends within a block"},
        ),
        Client(
            "gnsq",
            "Python",
            _python("gnsq_program"),
            {"msg_timeout": "has no setting for it"},
        ),
        Client(
            "ansq",
            "Python",
            _python("ansq_program"),
            {
                **dict.fromkeys(("TLS", "deflate", "snappy"), "raises NotImplementedError"),
                "AUTH": "takes itself for unauthorised even when it succeeded",
            },
        ),
        Client(
            "nsqjs",
            "Node.js",
            ["node", str(PROGRAMS / "nsqjs_program.js")],
            {"changing max_in_flight": "can only pause"},
        ),
    )
}

LAYERS: list[tuple[str, ...]] = [("deflate",), ("snappy",), ("TLS",), ("TLS", "deflate"), ("TLS", "snappy")]
"""What may lie between a client and nsqd."""


class Received(NamedTuple):
    """A message as a client handed it over."""

    id: str
    body: bytes
    attempts: int


class ForeignClient:
    """A client that runs while the block does."""

    def __init__(
        self,
        client: Client,
        *,
        nsqd: Iterable[str] = (),
        lookupd: Iterable[str] = (),
        finish: bool = False,
        **features: object,
    ) -> None:
        """``features`` and ``finish`` as in :class:`tests.system.programs.remote.Settings`."""
        self.client = client
        settings = {"nsqd": list(nsqd), "lookupd": list(lookupd), "features": features, "finish": finish}
        self._events: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._waiting: defaultdict[str, deque[dict[str, Any]]] = defaultdict(deque)
        self._history: deque[dict[str, Any]] = deque(maxlen=20)
        self._errors: list[str] = []
        self._process = subprocess.Popen(
            [*client.command, json.dumps(settings)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            errors="backslashreplace",
            env={**os.environ, "NODE_PATH": str(NODE / "node_modules")},
            cwd=ROOT,
        )
        self._readers = [
            threading.Thread(target=target, name=f"{target.__name__} of {client.name}", daemon=True)
            for target in (self._read_events, self._read_errors)
        ]
        for reader in self._readers:
            reader.start()

    def __enter__(self) -> Self:
        self._expect("up")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
        for reader in self._readers:
            reader.join()
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            assert pipe is not None
            try:
                pipe.close()
            except BrokenPipeError:
                pass  # it ended before it had read what is left to be sent
        if error is not None:
            error.add_note(f"---- {self.client.name} wrote ----\n{''.join(self._errors)}")
            last = "\n".join(str(event)[:200] for event in self._history)
            error.add_note(f"---- its last events ----\n{last}")

    # -- publishing ----------------------------------------------------------------------------------

    def pub(self, topic: str, *bodies: bytes) -> None:
        """PUBs, each confirmed."""
        for body in bodies:
            self._command("pub", topic, body.decode("latin-1"))
            self._expect("published")

    def mpub(self, topic: str, *bodies: bytes) -> None:
        """A confirmed MPUB."""
        self._command("mpub", topic, [body.decode("latin-1") for body in bodies])
        self._expect("published")

    def dpub(self, topic: str, ms: int, body: bytes) -> None:
        """A confirmed DPUB."""
        self._command("dpub", topic, ms, body.decode("latin-1"))
        self._expect("published")

    def refused(self, topic: str, body: bytes) -> str:
        """Publishes what must be refused, and returns the error as this client tells it."""
        self._command("pub", topic, body.decode("latin-1"))
        return str(self._expect("refused")["error"])

    # -- consuming -----------------------------------------------------------------------------------

    def subscribe(self, topic: str, channel: str, max_in_flight: int = 1) -> None:
        """Begins to consume; once per client."""
        self._command("subscribe", topic, channel, max_in_flight)

    def max_in_flight(self, count: int) -> None:
        """Changes it; 0 pauses."""
        self._command("max_in_flight", count)

    def message(self) -> Received:
        """The next message."""
        event = self._expect("message")
        return Received(event["id"], event["body"].encode("latin-1"), event["attempts"])

    def bodies(self, count: int) -> Counter[bytes]:
        """The bodies of the next messages."""
        return Counter(self.message().body for _ in range(count))

    def finish(self, message: Received) -> None:
        self._command("finish", message.id)

    def requeue(self, message: Received, ms: int = 0) -> None:
        self._command("requeue", message.id, ms)

    def touch(self, message: Received) -> None:
        self._command("touch", message.id)

    def close(self) -> None:
        """Says CLS where the client can, and goes; returns when the client says that it has."""
        self._command("close")
        self._expect("closed")

    def error(self) -> str:
        """The next error, as this client tells it."""
        return str(self._expect("error")["error"])

    # -- inner workings ------------------------------------------------------------------------------

    def _command(self, *words: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(words) + "\n")
        self._process.stdin.flush()

    def _expect(self, name: str) -> dict[str, Any]:
        """The next event of this name; events of other kinds that came before it wait for their turn."""
        waiting = self._waiting[name]
        opposite = {"published": "refused", "refused": "published"}.get(name, "")
        while not waiting:
            try:
                news = self._events.get(timeout=DEADLINE_S)
            except queue.Empty:
                raise AssertionError(f"{self.client.name} did not say {name!r} in {DEADLINE_S} s") from None
            assert news is not None, f"{self.client.name} ended with status {self._process.wait()}"
            self._history.append(news)
            assert news["event"] != opposite, news
            self._waiting[news["event"]].append(news)
        return waiting.popleft()

    def _read_events(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._events.put(json.loads(line))
        self._events.put(None)

    def _read_errors(self) -> None:
        assert self._process.stderr is not None
        self._errors.extend(self._process.stderr)
