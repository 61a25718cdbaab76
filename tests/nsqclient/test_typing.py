"""What type checkers in a stranger's project make of the client: all of it is known, and wrong uses are told.

The project is ``stranger``, the client's examples, and a file of mistakes; it lies outside the repository, so that
none of the repository's settings hold for it.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.needs import lacking
from tests.support.processes import ROOT

HEAD = """\
from nsqclient import App, Backoff, BatchOf, ConnectionOptions, Consumer, Dedup, Failures, FlowControl, Leases
from nsqclient import LinearRequeue, Lookup, MemoryStore, Message, Producer, RetryPolicy, Router, Routing, Tls
from nsqclient import blocking, codecs, scope
from nsqclient.http import Nsqd as NsqdApi
from nsqclient.push import Bridge, Settings
from nsqclient.testing import FakeCluster

app = App("a:4150")
producer = Producer("a:4150")
consumer = Consumer("t", "c", "a:4150")
api = NsqdApi("http://a:4151")


class Order:
    cents: int


def whole(message: Message) -> None: ...


def number(message: int) -> None: ...

"""
MISTAKES = {
    "a topic that is a number": 'await producer.publish(1, b"")',
    "no body": 'await producer.publish("t")',
    "a delay that is text": 'await producer.publish("t", b"", delay="5s")',
    "headers that are not text": 'await producer.publish("t", b"", headers={"a": 1})',
    "an unknown argument": 'await producer.publish("t", b"", retries=3)',
    "one body instead of many": 'await producer.publish_many("t", 5)',
    "a receipt that is not awaited": 'producer.publish("t", b"").nodes',
    "a receipt's message ID, which NSQ does not tell": '(await producer.publish("t", b"")).message_id',
    "a target that is a number": "Producer(4150)",
    "a batch that is a number": 'Producer("a:4150", batch=100)',
    "an unknown way to pick": 'Routing(pick="random")',
    "an unknown kind of reports": 'Producer("a:4150", reports="some")',
    "an unknown decision about the unknown": 'RetryPolicy(on_unknown="drop")',
    "middleware of the other kind": 'Producer("a:4150", around=[whole])',
    "TLS of an unknown mode": 'Tls(mode="maybe")',
    "options by position": "ConnectionOptions(None)",
    "a consumer without a channel": 'Consumer("t", target="a:4150")',
    "a codec that is none": 'Consumer("t", "c", "a:4150", codec="json")',
    "an unknown spread": 'FlowControl(spread="wide")',
    "an unknown cause of back-off": 'FlowControl(backoff_on=("timeout",))',
    "an unknown scope of back-off": 'Backoff(scope="topic")',
    "a limit that is text": 'Leases(limit="5m")',
    "a rule of requeues that is a number": "Failures(requeue=90)",
    "a store that is none": "Dedup({})",
    "a handler of something else": "await consumer.run(number)",
    "a handler of messages for batches": "await consumer.run_batches(whole, max_messages=5, linger=1)",
    "a for that is not async": "[each for each in consumer]",
    "a message that is not awaited": "consumer.get().body",
    "a body that is changed": "message.attempts.append(1)",
    "a decoded type that is another": 'message.decode(Order) + "x"',
    "a decoration without a channel": 'app.on("t")',
    "a batch of an unknown size": 'app.on("t", channel="c", batch=BatchOf("many"))',
    "a bridge inside of an app": "app.include(Bridge)",
    "an unknown setting of a bridge": "Settings(max_users=5)",
    "a requeue at an unknown time": 'message.requeue("soon")',
    "a scope's timeout that is text": 'scope(timeout="2s")',
    "a fake's node that is a name": 'FakeCluster().node("a")',
    "a blocking receipt that is awaited": 'await blocking.Producer("a:4150").publish("t", b"")',
    "a log level that nsqd does not have": 'await api.set_log_level("trace")',
    "an URL that is a number": "Lookup(4161)",
}
PACKAGES = ("nsqclient", "nsqclient.blocking", "nsqclient.http", "nsqclient.push", "nsqclient.testing")
OUTCOMES = re.compile(r"^(?P<file>[^:]+\.py):(?P<line>\d+): error: (?P<text>.*)$", re.MULTILINE)
RULES = {"reportArgumentType", "reportAttributeAccessIssue", "reportCallIssue", "reportGeneralTypeIssues"}
RULES |= {"reportOperatorIssue"}
"""Of pyright: what is wrong, not what is only unwise."""
COMPLETE = 0.99
"""The least part of all types in the client's modules that are said, not inferred; loggers are not."""

Errors = dict[str, dict[int, str]]
"""What is wrong, by file and line."""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A stranger's project, outside of the repository."""
    root = tmp_path / "project"
    shutil.copytree(Path(__file__).parent / "stranger", root / "stranger")
    shutil.copytree(ROOT / "client" / "examples", root / "examples", ignore=shutil.ignore_patterns("__*"))
    lines = [
        f"async def mistake_{number}(message: Message) -> object: return {code}"
        for number, code in enumerate(MISTAKES.values())
    ]
    (root / "mistakes.py").write_text(HEAD + "\n".join(lines) + "\n", "utf-8")
    return root


def not_told(errors: Errors) -> list[str]:
    """Mistakes that were not found; asserts that nothing else was found wrong."""
    first = HEAD.count("\n") + 1
    places = {first + number: name for number, name in enumerate(MISTAKES)}
    found = errors.pop("mistakes.py", {})
    assert errors == {}
    assert [text for line, text in found.items() if line not in places] == []
    return [name for line, name in places.items() if line not in found]


def pyright(*arguments: str, folder: Path) -> str:
    """What pyright answers, as JSON; skips the test where it is not installed."""
    program = ROOT / ".venv" / "node" / "node_modules" / ".bin" / "pyright"
    if not program.is_file() or shutil.which("node") is None:
        lacking("there is no pyright: make setup installs it")
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", "")))
    answer = subprocess.run(
        [program, "--outputjson", *arguments],
        cwd=folder,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert answer.stdout, answer.stderr
    return answer.stdout


def test_mypy_knows_the_client_in_a_strangers_project(project: Path) -> None:
    """Strictly."""
    cache = ROOT / ".mypy_cache" / "stranger"
    answer = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--config-file=", f"--cache-dir={cache}", "."],
        cwd=project,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    errors: Errors = {}
    for found in OUTCOMES.finditer(answer.stdout):
        errors.setdefault(found["file"], {})[int(found["line"])] = found["text"]
    assert errors, answer.stderr
    assert not_told(errors) == []


def test_pyright_knows_the_client_in_a_strangers_project(project: Path) -> None:
    """Strictly."""
    (project / "pyrightconfig.json").write_text('{"typeCheckingMode": "strict"}', "utf-8")
    answer = json.loads(pyright(folder=project))
    errors: Errors = {}
    for found in answer["generalDiagnostics"]:
        name = str(Path(found["file"]).relative_to(project))
        if found["severity"] == "error" and (name != "mistakes.py" or found["rule"] in RULES):
            errors.setdefault(name, {})[found["range"]["start"]["line"] + 1] = found["message"]
    assert answer["summary"]["filesAnalyzed"] > len(list(project.glob("examples/*.py")))
    assert not_told(errors) == []


def test_the_clients_types_are_said_not_inferred(tmp_path: Path) -> None:
    """What is inferred can differ from one type checker to the next."""
    answer = json.loads(pyright("--verifytypes", "nsqclient", "--ignoreexternal", folder=tmp_path))
    types = answer["typeCompleteness"]
    inferred = {
        symbol["name"]
        for symbol in types["symbols"]
        if symbol["isExported"] and not (symbol["isTypeKnown"] and not symbol["isTypeAmbiguous"])
    }
    public = {
        f"{package}.{name}" for package in PACKAGES for name in importlib.import_module(package).__all__
    }
    assert public & inferred == set(), sorted(inferred)
    assert types["exportedSymbolCounts"]["withUnknownType"] == 0
    assert types["completenessScore"] >= COMPLETE
