"""What the package offers, and what importing it costs."""

from __future__ import annotations

import inspect
import subprocess
import sys

import nsqclient
from nsqclient import errors


def test_all_is_exactly_what_is_public() -> None:
    names = {name for name, value in vars(nsqclient).items() if not name.startswith("_")}
    modules = {name for name in names if inspect.ismodule(getattr(nsqclient, name))}
    assert set(nsqclient.__all__) == names - modules


def test_every_error_can_be_caught_by_name() -> None:
    defined = {
        name
        for name, value in vars(errors).items()
        if inspect.isclass(value) and issubclass(value, Exception) and not name.startswith("_")
    }
    assert defined <= set(nsqclient.__all__)


def test_every_error_has_one_root() -> None:
    for name in nsqclient.__all__:
        value = getattr(nsqclient, name)
        if inspect.isclass(value) and issubclass(value, Exception) and not issubclass(value, errors.Control):
            assert issubclass(value, nsqclient.NsqError)


def test_importing_it_imports_no_daemon_and_nothing_heavy() -> None:
    code = "import nsqclient, sys; print(*sorted(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in run.stdout.split()}
    heavy = {"nsqd", "nsqlookupd", "nsqadmin", "aiohttp", "uvloop", "jinja2", "rich", "msgpack", "httptools"}
    heavy |= {"opentelemetry", "prometheus_client", "pydantic", "msgspec"}
    assert loaded & heavy == set()
    assert "nsqclient" in loaded
