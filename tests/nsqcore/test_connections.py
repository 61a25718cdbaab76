"""The set of open connections, without sockets."""

from __future__ import annotations

from nsqcore.connections import Connections


class Fake:
    """Notes how it is ended, and goes away as it is told to."""

    def __init__(self, group: Connections[Fake], *, polite: bool = True) -> None:
        self._group = group
        self._polite = polite
        self.ends: list[str] = []
        group.add(self)

    def close(self) -> None:
        self.ends.append("close")
        if self._polite:
            self._group.discard(self)

    def cut(self) -> None:
        self.ends.append("cut")
        self._group.discard(self)


async def test_all_are_closed_and_who_does_not_go_is_cut() -> None:
    group: Connections[Fake] = Connections()
    polite, stubborn = Fake(group), Fake(group, polite=False)
    assert set(group) == {polite, stubborn}
    await group.close(0.01)
    assert (polite.ends, stubborn.ends) == (["close"], ["close", "cut"])
    assert not list(group)


async def test_who_comes_while_all_are_closed_is_closed() -> None:
    group: Connections[Fake] = Connections()
    await group.close(5.0)
    assert Fake(group).ends == ["close"]
    await group.none_left()


async def test_none_are_left_when_the_last_is_gone() -> None:
    group: Connections[Fake] = Connections()
    await group.none_left()
    connection = Fake(group)
    group.discard(connection)
    await group.none_left()
