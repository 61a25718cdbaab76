"""The page of all public names of the client: ``python -m tests.support.client_reference`` writes it anew.

What it says of a name is the first sentence of its docstring; what a name is, and where, stands in ``SECTIONS``.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import textwrap
from collections.abc import Iterator
from functools import cache
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple

DOC = Path(__file__).parents[2] / "docs" / "client" / "reference.md"
HEAD = """\
# All names

Every public name with the first sentence of what it says about itself; `help(name)` in Python has the rest: what is
raised, in which units, what cancelling does. Durations are seconds or `timedelta`, sizes are bytes, times on the wall are
`datetime`s in UTC, wherever nothing else is said. The page is made from the code (`python -m tests.support.client_reference`).
"""


class Section(NamedTuple):
    """Names that belong together."""

    title: str
    page: str
    """The page about them."""
    module: str
    names: str


SECTIONS = (
    Section(
        "Where to connect",
        "connections.md",
        "nsqclient",
        "Nsqd Lookup FoundNode from_url from_env Endpoint ConnectionOptions Tls Topology Limits Agreement FullJitter",
    ),
    Section(
        "Publishing",
        "publishing.md",
        "nsqclient",
        "Producer Receipt Delivery Routing Node RetryPolicy Batch Report Reports NodeState ProducerStats ClosedSummary "
        "Outgoing AroundPublish",
    ),
    Section(
        "Receiving",
        "consuming.md",
        "nsqclient",
        "Consumer Message MessageBatch FlowControl Backoff Leases Failures LinearRequeue Dedup MemoryStore RedisStore "
        "by_message_id AroundHandle ConsumerStats Health",
    ),
    Section(
        "Events of a consumer",
        "consuming.md#what-happens-inside",
        "nsqclient",
        "EventStream ConsumerEvent NodeUp NodeDown LookupFailed Subscribed BackoffEntered BackoffLeft RdyChanged GaveUp "
        "LeaseLost Duplicate Expired LoopBlocked",
    ),
    Section(
        "Deciding by exceptions",
        "failures.md#decided-by-the-handler",
        "nsqclient",
        "Control Retry Drop DeadLetter",
    ),
    Section("Apps", "app.md", "nsqclient", "App Router BatchOf AppHealth"),
    Section("Apps under test", "app.md#testing-it", "nsqclient.app.trial", "Trial"),
    Section("Scopes", "scopes.md", "nsqclient", "scope propagate"),
    Section("Codecs", "codecs.md", "nsqclient.codecs", "Codec auto json msgpack text raw"),
    Section(
        "Errors",
        "errors.md",
        "nsqclient",
        "NsqError ConfigError InvalidName EmptyMessage MessageTooLarge DelayOutOfRange ConnectError NotNsqd IdentifyRejected "
        "TlsRefused TlsFailed CompressionRefused AuthRequired AuthRejected PublishError PublishRejected PublishNotSent "
        "NoNodes Backlogged PublishUnknown PublishTimeout SubscribeRefused SettleError AlreadySettled HandlerTimeout "
        "DeadlineExceeded CodecError EnvelopeError DedupStoreFull ApiError ApiUnreachable ApiTimeout ApiRefused ApiNotFound "
        "ApiBroken Closed",
    ),
    Section("A store of your own", "dedup.md#stores", "nsqclient.dedup.store", "Store Claim"),
    Section("Scripts and threads", "blocking.md", "nsqclient.blocking", "Producer Consumer Message"),
    Section("HTTP", "http.md", "nsqclient.http", "Nsqd Lookupd"),
    Section(
        "Prometheus", "telemetry.md", "nsqclient.telemetry.prometheus", "ConsumerMetrics ProducerMetrics"
    ),
    Section("OpenTelemetry: metrics", "telemetry.md", "nsqclient.telemetry.metrics", "Metrics"),
    Section("OpenTelemetry: traces", "telemetry.md", "nsqclient.telemetry.tracing", "Tracing"),
    Section(
        "Testing",
        "testing.md",
        "nsqclient.testing",
        "FakeCluster FakeNode FakeLookup NodeOptions Account Commands Clock LoopNeverRests FaultyProxy ScriptedNsqd Link ok "
        "silence drop refuse Recorder Replay CantRecord BadConversation NsqdProcess find_nsqd",
    ),
    Section(
        "Pushing to browsers",
        "websocket.md",
        "nsqclient.push",
        "Bridge Settings Authenticator HttpAuth JwtAuth Grant Permission Denied Unavailable",
    ),
)


class Entry(NamedTuple):
    """A name, and all it says about itself."""

    name: str
    text: str


def entries(section: Section) -> Iterator[Entry]:
    """The names of a section, those of classes followed by what these have."""
    module = importlib.import_module("nsqclient" if section.module == "nsqclient.codecs" else section.module)
    if section.module == "nsqclient.codecs":
        module = module.codecs
    for name in section.names.split():
        thing = getattr(module, name)
        if inspect.isclass(thing):
            yield Entry(name, _said(thing.__doc__))
            for own in _classes(thing):
                for member, text in members(own):
                    yield Entry(f"{name}.{member}", text)
        elif inspect.isfunction(thing):
            yield Entry(f"{name}()", _said(thing.__doc__))
        elif hasattr(type(thing), "content_type"):
            yield Entry(name, _said(type(thing).__doc__))
        else:
            yield Entry(name, _beside(name))


def members(of: type) -> Iterator[tuple[str, str]]:
    """The public methods, properties and attributes that a class itself has, in their order, and what they say."""
    for node, below in _followed(_tree(of).body):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            decorators = {ast.unparse(each) for each in node.decorator_list}
            if "overload" in decorators:
                continue
            if node.name == "__init__":
                yield from _attributes(node)
            elif not node.name.startswith("_"):
                yield (
                    node.name if "property" in decorators else f"{node.name}()",
                    _said(ast.get_docstring(node)),
                )
        elif (
            isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.target.id[0] != "_"
        ):
            yield node.target.id, _text_of(below)


def _attributes(init: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[tuple[str, str]]:
    """Those that are told of where they are made."""
    for node, below in _followed(init.body):
        if isinstance(node, ast.Assign | ast.AnnAssign):
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            if isinstance(target, ast.Attribute) and not target.attr.startswith("_") and _text_of(below):
                yield target.attr, _text_of(below)


def _followed(body: list[ast.stmt]) -> Iterator[tuple[ast.stmt, ast.stmt | None]]:
    """Each statement with the one below it."""
    return zip_longest(body, body[1:])


def _text_of(node: ast.stmt | None) -> str:
    if (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    ):
        return _said(node.value.value)
    return ""


def _classes(thing: type) -> list[type]:
    """A class and what it inherits of, where that has no entry of its own."""
    listed = {name for section in SECTIONS for name in section.names.split()}
    bases = [
        base
        for base in thing.__mro__[1:]
        if base.__module__.startswith("nsqclient") and base.__name__ not in listed
    ]
    return [thing, *bases]


@cache
def _tree(of: type) -> ast.ClassDef:
    node = ast.parse(textwrap.dedent(inspect.getsource(of))).body[0]
    assert isinstance(node, ast.ClassDef)
    return node


@cache
def _beside(name: str) -> str:
    """What stands below the line that gives a type its name."""
    for file in sorted((DOC.parents[2] / "client" / "nsqclient").rglob("*.py")):
        for node, below in _followed(ast.parse(file.read_text("utf-8")).body):
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name and _text_of(below):
                return _text_of(below)
    return ""


def _said(text: str | None) -> str:
    return inspect.cleandoc(text or "")


def first_sentence(text: str) -> str:
    """What a docstring says first, as Markdown in a table."""
    paragraph = " ".join(text.partition("\n\n")[0].split())
    found = re.match(r".*?[.:;](?= [A-Z:]|$)", paragraph)
    sentence = (found[0] if found else paragraph).rstrip(":;. ")
    sentence = re.sub(r"(:\w+:)`~[\w.]*\.(\w+)`", r"\1`\2`", sentence)
    sentence = re.sub(r":(?:meth|func):`([\w.]+)`", r"`\1()`", sentence)
    sentence = re.sub(r":\w+:`([\w.]+)`", r"`\1`", sentence)
    return sentence.replace("``", "`").replace("|", "\\|")


def page() -> str:
    """All of it."""
    parts = [HEAD]
    for section in SECTIONS:
        parts.append(f"\n## {section.title}\n")
        where = "" if section.module == "nsqclient" else f"In `{section.module}`. "
        parts.append(f"\n{where}[The page]({section.page}).\n\n| name | what it is |\n| --- | --- |\n")
        parts.extend(f"| `{entry.name}` | {first_sentence(entry.text)} |\n" for entry in entries(section))
    return "".join(parts)


if __name__ == "__main__":
    DOC.write_text(page(), "utf-8")
