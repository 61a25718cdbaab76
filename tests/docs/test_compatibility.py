"""The compatibility page tells all there is and nothing else, and the tests that it names speak of what they prove."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from nsqadmin.options import COMMAND_LINE as NSQADMIN
from nsqcore import debug_api
from nsqd.options import command_line as nsqd_command_line
from nsqd.protocol.commands import COMMANDS
from nsqd.statistics.statsd_report import Report
from nsqlookupd.options import command_line as nsqlookupd_command_line
from tests.docs import inventory
from tests.docs.page import Row, items, rows
from tests.docs.proofs import names_of
from tests.support.flag_docs import tools
from tests.support.nsqd import Node
from tests.support.tools import PACKAGES

DEBUG = {f"{each.method} {each.path}" for each in debug_api.endpoints("/debug/pprof/")}
MEMORY = {f"{each.method} {each.path}" for each in debug_api.memory_endpoints()}
IDS = [f"{row.section}: {row.item}" for row in rows()]


def test_no_row_is_there_twice() -> None:
    assert sorted(set(IDS)) == sorted(IDS)


@pytest.mark.parametrize("row", rows(), ids=IDS)
def test_a_row_names_tests_that_speak_of_it(row: Row) -> None:
    assert row.proofs, "no test is named"
    for path, test in row.proofs:
        assert test in names_of(path), f"tests/{path} has no {test}"
    assert inventory.speaks_of(row), "what the row is about is in none of its tests"


@pytest.mark.parametrize(
    ("section", "there_are"),
    [
        ("nsqd: flags", inventory.flags(nsqd_command_line())),
        ("nsqlookupd: flags", inventory.flags(nsqlookupd_command_line())),
        ("nsqadmin: flags", inventory.flags(NSQADMIN)),
        ("nsqd: commands", {name.decode() for name in COMMANDS}),
        ("nsqd: HTTP endpoints", inventory.endpoints("nsqd") | DEBUG | MEMORY),
        ("nsqlookupd: HTTP endpoints", inventory.endpoints("nsqlookupd") | DEBUG),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_section_lists_what_there_is(section: str, there_are: set[str]) -> None:
    assert sorted(items(section)) == sorted(there_are)


def test_nsqadmin_serves_what_is_listed_and_lists_what_scripts_call() -> None:
    listed = set(items("nsqadmin: HTTP endpoints"))
    assert listed - inventory.endpoints("nsqadmin") == set()
    for scripts in (inventory.endpoints("nsqadmin/api"), inventory.endpoints("nsqadmin/graphite")):
        assert scripts - listed == set()


@pytest.mark.parametrize("name", tools())
def test_the_flags_of_a_tool_are_listed(name: str) -> None:
    assert sorted(items(f"{name}: flags")) == sorted(inventory.flags_of_tool(tools()[name]))


def test_all_tools_are_there() -> None:
    assert sorted(tools()) == sorted(PACKAGES)


@pytest.mark.parametrize(
    ("section", "package", "classes"),
    [
        ("nsqd: errors of the protocol", "nsqd", ("FatalError", "ProtocolError")),
        ("nsqd: errors of HTTP", "nsqd", ("HttpError",)),
        ("nsqlookupd: errors of HTTP", "nsqlookupd", ("HttpError",)),
        ("nsqadmin: errors", "nsqadmin/api", ("HttpError",)),
        ("nsqadmin: errors", "nsqadmin/web", ("HttpError",)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_every_error_that_the_code_can_make_is_listed(
    section: str, package: str, classes: tuple[str, ...]
) -> None:
    listed = [inventory.example(item) for item in items(section)]
    for pattern in inventory.errors(package, *classes):
        assert any(pattern.fullmatch(item) for item in listed), f"not listed: {pattern.pattern}"


async def test_every_json_field_and_statsd_key_that_a_daemon_tells_is_listed(tmp_path: Path) -> None:
    async with Node(tmp_path, "--e2e-processing-latency-percentile=0.5") as node:
        consumer = await node.subscribe("t", "c", rdy=1)
        await consumer.mpub("t", b"1", b"2")
        consumer.fin((await consumer.message()).id)
        await consumer.message()
        stats, info = [
            json.loads((await node.request("GET", f"{path}?format=json")).body)
            for path in ("/stats", "/info")
        ]
        report = Report("", [0.5], exclude_ephemeral=False)
        report.begin()
        lines = [*report.topic(node.topic("t")), *report.memory(stats["memory"])]
    told = {*inventory.keys(stats, "/stats"), *inventory.keys(info, "/info")}
    channel = "/stats topics[].channels[]"
    told = {
        key.replace("/stats producers[]", f"{channel}.clients[]") for key in told
    }  # one and the same object
    told = {
        key.replace(f"{channel}.e2e", "/stats topics[].e2e") if key.count(".") > 2 else key for key in told
    }
    assert told - set(items("nsqd: JSON fields")) == set()
    statsd = {re.sub(r"(?<=latency_)\d+$", "<p>", line.partition(":")[0]) for line in lines}
    statsd = {key.replace("topic.t.", "topic.<t>.").replace("channel.c.", "channel.<c>.") for key in statsd}
    assert statsd == set(items("nsqd: statsd keys"))
