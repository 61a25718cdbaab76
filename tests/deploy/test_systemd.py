from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import nsqd.options
from tests.deploy import daemons
from tests.deploy.units import command, settings, variables
from tests.support.processes import ROOT, spawn

UNITS = ROOT / "deploy" / "systemd"
NSQD = UNITS / "nsqd@.service"
SERVICES = sorted(UNITS.glob("*.service"))
EXAMPLE = variables(UNITS / "nsq.env")
NODES = range(1, 10)


def options(unit: Path, environment: Mapping[str, str], instance: int = 1) -> Any:
    """What the program would make of the unit's words."""
    words = command(unit, environment, instance)
    assert words[0] == f"/opt/nsq/bin/{unit.name.partition('.')[0].rstrip('@')}"
    return daemons.options(words)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="wants systemd-analyze")
@pytest.mark.parametrize("name", [*(path.name for path in SERVICES), "nsqd@1.service", "nsq.target"])
def test_systemd_finds_nothing_wrong(name: str, tmp_path: Path) -> None:
    for unit in [*SERVICES, UNITS / "nsq.target"]:  # the programs are where this Python has them
        text = unit.read_text("utf-8").replace("/opt/nsq/bin/", f"{Path(sys.executable).parent}/")
        (tmp_path / unit.name).write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", "--recursive-errors=one", str(tmp_path / name)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@pytest.mark.parametrize("environment", [{}, EXAMPLE], ids=["no file", "the example"])
@pytest.mark.parametrize("unit", SERVICES, ids=lambda unit: unit.name)
def test_every_flag_of_a_unit_is_one_of_its_program(unit: Path, environment: Mapping[str, str]) -> None:
    assert options(unit, environment)


def test_every_flag_that_is_spoken_of_exists() -> None:
    assert [name for file in UNITS.iterdir() for name in daemons.strange_flags(file)] == []


def test_the_first_node_has_the_usual_ports() -> None:
    usual = nsqd.options.Options()
    first = options(NSQD, {})
    assert (first.tcp_address, first.http_address) == (usual.tcp_address, usual.http_address)
    assert first.https_address == usual.https_address


def test_nine_nodes_and_the_other_daemons_of_a_machine_share_no_port() -> None:
    all_options = [options(NSQD, EXAMPLE, number) for number in NODES]
    all_options += [options(unit, EXAMPLE) for unit in SERVICES if unit != NSQD]
    taken = [port for found in all_options for port in daemons.ports(found)]
    assert len(taken) == len(set(taken)) == 3 * len(NODES) + 3


def test_no_two_nodes_of_a_cluster_share_an_id_or_those_of_a_machine_a_folder() -> None:
    for machine in (1, 9, 10, 101):
        found = [options(NSQD, {**EXAMPLE, "NSQ_MACHINE": str(machine)}, number) for number in NODES]
        assert [node.node_id for node in found] == [10 * machine + number for number in NODES]
    assert len({node.data_path for node in found}) == len(NODES)
    assert [options(NSQD, {}, number).node_id for number in NODES] == list(NODES)


@pytest.mark.parametrize("unit", SERVICES, ids=lambda unit: unit.name)
def test_a_unit_may_write_where_its_data_goes_and_nowhere_else(unit: Path) -> None:
    found = settings(unit)
    assert found["ProtectSystem"] == ["strict"]
    data = getattr(options(unit, {}, 3), "data_path", "")
    folders = [f"/var/lib/{folder.replace('%i', '3')}" for folder in found.get("StateDirectory", [])]
    assert ([data] if data else []) == folders


def test_what_the_units_ask_of_the_environment_file_is_in_the_example_and_nothing_else() -> None:
    asked = {
        name
        for unit in SERVICES
        for line in settings(unit)["ExecStart"]
        for name in re.findall(r"\$\{?(\w+)", line)
    }
    assert asked == set(EXAMPLE)
    assert all("-/etc/nsq/nsq.env" in settings(unit)["EnvironmentFile"] for unit in SERVICES)


def test_a_node_serves_with_the_words_of_its_unit_and_ends_as_the_unit_asks(tmp_path: Path) -> None:
    free = "--tcp-address=127.0.0.1:0 --http-address=127.0.0.1:0 --https-address= --lookupd-tcp-address=127.0.0.1:1"
    words = command(NSQD, {**EXAMPLE, "NSQD_FLAGS": f"{free} --data-path={tmp_path}"}, 3)
    with spawn("nsqd", *words[1:]) as node:
        (number,) = settings(NSQD)["KillSignal"]
        node.signal(signal.Signals[number])
        assert node.wait() == 0
        assert "ID: 13" in node.log
