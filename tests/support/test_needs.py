from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.needs import lacking, original
from tests.system.clients import CLIENTS

PAGE = Path(__file__).parents[2] / "docs" / "clients.md"


def test_where_a_client_cannot_be_run_its_tests_are_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="no node"):
        lacking("there is no node")


def test_in_continuous_integration_they_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="no skips: there is no node"):
        lacking("there is no node")


def test_the_original_programs_are_never_demanded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CI", "true")
    monkeypatch.delenv("NSQ_PEER_BIN", raising=False)
    with pytest.raises(pytest.skip.Exception, match="NSQ_PEER_BIN"):
        original("nsqd")
    monkeypatch.setenv("NSQ_PEER_BIN", str(tmp_path))
    with pytest.raises(pytest.skip.Exception, match="there is no"):
        original("nsqd")
    (tmp_path / "nsqd").touch()
    assert original("nsqd") == tmp_path / "nsqd"


@pytest.mark.parametrize("name", CLIENTS)
def test_a_client_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda module: None)
    monkeypatch.setattr("shutil.which", lambda program: None)
    assert CLIENTS[name].missing() in (f"{name} is not installed", "there is no node")


@pytest.mark.parametrize("name", CLIENTS)
def test_the_page_names_what_a_client_cannot_do(name: str) -> None:
    client = CLIENTS[name]
    (line,) = [line for line in PAGE.read_text().splitlines() if line.startswith(f"| {name} ")]
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    told = cells[-1]
    assert all(f"{feature}: {why}" in told for feature, why in client.lacks.items()), told
    assert bool(client.lacks) == (told != ""), told
