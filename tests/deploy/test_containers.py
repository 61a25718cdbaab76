"""The files for Docker and Kubernetes: what of them can be checked without either."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from nsqcore.addresses import HostPort, parse_host_port
from tests.deploy import daemons
from tests.support.processes import ROOT

DOCKERFILE = ROOT / "deploy" / "docker" / "Dockerfile"
COMPOSE = ROOT / "deploy" / "docker" / "compose.yaml"
KUBERNETES = ROOT / "deploy" / "kubernetes" / "nsq.yaml"
SERVICES: dict[str, Any] = yaml.safe_load(COMPOSE.read_text("utf-8"))["services"]
OBJECTS: list[Any] = list(yaml.safe_load_all(KUBERNETES.read_text("utf-8")))
LOOKUP_PORT = {"nsqd": 4160, "nsqadmin": 4161}
"""The one of nsqlookupd's ports that each speaks to."""
WORKLOADS = [found for found in OBJECTS if found["kind"] != "Service"]


def instructions(name: str) -> list[str]:
    lines = DOCKERFILE.read_text("utf-8").splitlines()
    return [line.removeprefix(f"{name} ") for line in lines if line.startswith(f"{name} ")]


def lookups(found: Any) -> list[HostPort]:
    """The addresses of nsqlookupds that a daemon is told."""
    told = [*getattr(found, "nsqlookupd_tcp_addresses", []), *getattr(found, "lookupd_http_addresses", [])]
    return [parse_host_port(address) for address in told]


def test_the_image_has_all_that_the_wheel_is_made_of() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    packages = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    own = [line for line in instructions("COPY") if not line.startswith("--from")]
    copied = {word for line in own for word in line.split()[:-1]}
    assert {package.partition("/")[0] for package in packages} <= copied
    assert {"pyproject.toml", project["project"]["readme"], *project["project"]["license-files"]} <= copied
    assert all((ROOT / name).exists() for name in copied)


def test_the_image_runs_nsqd_on_its_volume_and_names_the_usual_ports() -> None:
    (command,), (volume,), (exposed,) = map(instructions, ("CMD", "VOLUME", "EXPOSE"))
    assert daemons.options(json.loads(command)).data_path == volume
    usual = [port for line in daemons.PROGRAMS.values() for port in daemons.ports(line.options())]
    assert set(map(int, exposed.split())) == set(usual) - {4152}


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_of_compose_has_flags_that_exist_and_finds_the_others(name: str) -> None:
    service = SERVICES[name]
    found = daemons.options(service["command"])
    assert getattr(found, "broadcast_address", name) == name
    assert len(lookups(found)) == (0 if name.startswith("nsqlookupd") else 2)
    for host, port in lookups(found):
        assert host in service["depends_on"]
        assert port == LOOKUP_PORT[service["command"][0]]
    data = getattr(found, "data_path", "")
    assert [volume.partition(":")[2] for volume in service.get("volumes", [])] == ([data] if data else [])
    inner = [int(mapping.rpartition(":")[2]) for mapping in service.get("ports", [])]
    assert set(inner) <= set(daemons.ports(found))


def test_the_nsqds_of_compose_share_neither_id_nor_volume_nor_port() -> None:
    nsqds = [service for service in SERVICES.values() if service["command"][0] == "nsqd"]
    assert len({daemons.options(service["command"]).node_id for service in nsqds}) == len(nsqds) > 1
    for key in ("volumes", "ports"):
        used = [each.rpartition(":")[0] for service in nsqds for each in service[key]]
        assert len(set(used)) == len(used)
    declared = yaml.safe_load(COMPOSE.read_text("utf-8"))["volumes"]
    used = [volume for service in SERVICES.values() for volume in service.get("volumes", [])]
    assert {volume.partition(":")[0] for volume in used} == set(declared)


@pytest.mark.parametrize("workload", WORKLOADS, ids=lambda found: found["metadata"]["name"])
def test_a_workload_of_kubernetes_has_flags_that_exist_and_finds_the_others(workload: Any) -> None:
    name, spec = workload["metadata"]["name"], workload["spec"]
    (container,) = spec["template"]["spec"]["containers"]
    pod = {"POD": f"{name}-1", "NUMBER": "1"}
    assert {variable["name"] for variable in container.get("env", [])} <= set(pod)
    words = container["command"]
    for variable in container.get("env", []):
        words = [word.replace(f"$({variable['name']})", pod[variable["name"]]) for word in words]
    assert "$" not in "".join(words)
    found = daemons.options(words)

    assert spec["selector"]["matchLabels"] == spec["template"]["metadata"]["labels"]
    (service,) = [o for o in OBJECTS if o["kind"] == "Service" and o["metadata"]["name"] == name]
    assert service["spec"]["selector"] == spec["selector"]["matchLabels"]
    asked = [port["containerPort"] for port in container["ports"]]
    assert asked == [port["port"] for port in service["spec"]["ports"]]
    assert set(asked) <= set(daemons.ports(found))

    assert len(lookups(found)) == (0 if name.startswith("nsqlookupd") else 2)
    for host, port in lookups(found):
        pod_name, _, service_name = host.partition(".")
        (other,) = [o for o in WORKLOADS if o["metadata"]["name"] == service_name]
        assert other["spec"]["serviceName"] == service_name
        assert int(pod_name.rpartition("-")[2]) < other["spec"]["replicas"]
        assert port == LOOKUP_PORT[words[0]]
    if workload["kind"] == "StatefulSet":
        assert spec["serviceName"] == name
        assert found.broadcast_address == f"{name}-1.{name}"
    if mounts := container.get("volumeMounts"):
        assert [found.data_path] == [mount["mountPath"] for mount in mounts]
        assert [mount["name"] for mount in mounts] == [
            claim["metadata"]["name"] for claim in spec["volumeClaimTemplates"]
        ]


@pytest.mark.parametrize("file", [COMPOSE, KUBERNETES], ids=lambda file: file.name)
def test_every_flag_that_is_spoken_of_exists(file: Path) -> None:
    of_others = {"file", "filename"}  # docker compose --file, kubectl --filename
    assert set(daemons.strange_flags(file)) <= of_others
