from __future__ import annotations

import pytest

from nsqcore.names import is_ephemeral, valid_name


@pytest.mark.parametrize(
    "name", ["a", "A.b_c-9", ".", "x" * 64, "t#ephemeral", "x" * 54 + "#ephemeral", "_", "-"]
)
def test_these_names_are_valid(name: str) -> None:
    assert valid_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "x" * 65,
        "x" * 55 + "#ephemeral",
        "#ephemeral",
        "t#ephemeral#ephemeral",
        "t#other",
        "a b",
        "a\n",
        "a$",
        "a*",
        "*",
        "é",
        "\u0661",
        "a\x00",
        "a/b",
    ],
)
def test_these_names_are_not(name: str) -> None:
    assert not valid_name(name)


def test_the_end_of_a_name_makes_it_ephemeral() -> None:
    assert is_ephemeral("t#ephemeral")
    assert not is_ephemeral("t")
    assert not is_ephemeral("ephemeral")
