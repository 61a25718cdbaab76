"""Which endpoint a method and a path mean, and which path was meant: the originals' router."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Generic, NamedTuple, Protocol, TypeVar


class Routed(Protocol):
    """What the router needs to know of an endpoint."""

    @property
    def method(self) -> str:
        """An HTTP method."""

    @property
    def path(self) -> str:
        """A path; segments such as ``{name}`` match any text that is not empty."""


R = TypeVar("R", bound=Routed)


class Found(NamedTuple, Generic[R]):
    """An endpoint, and what its open segments matched."""

    endpoint: R
    args: dict[str, str]


class Moved(NamedTuple):
    """There is nothing at this path; there is something at that one, which the client is sent to."""

    path: str


class WrongMethod(NamedTuple):
    """The path is there, but not for this method."""

    allowed: str
    """For the header ``Allow``."""


class Routes(Generic[R]):
    """All endpoints of a server."""

    def __init__(self, endpoints: Iterable[R]) -> None:
        self._fixed: dict[str, dict[str, R]] = {}
        self._open: dict[str, list[tuple[list[str], R]]] = {}
        for endpoint in endpoints:
            self._fixed.setdefault(endpoint.method, {})
            if "{" in endpoint.path:
                pattern = endpoint.path.split("/")
                self._open.setdefault(endpoint.method, []).append((pattern, endpoint))
            else:
                self._fixed[endpoint.method][endpoint.path] = endpoint

    def find(self, method: str, path: str) -> Found[R] | Moved | WrongMethod | None:
        """``path`` is decoded. Only paths that this very method is for are moved to; None is for nothing at all."""
        if method in self._fixed:
            found = self._at(method, path)
            if found is not None:
                return found
            moved = self._meant(method, path)
            if moved is not None:
                return Moved(moved)
        allowed = {there for there in self._fixed if path == "*" or self._at(there, path) is not None}
        return WrongMethod(", ".join(sorted({*allowed, "OPTIONS"}))) if allowed else None

    def _at(self, method: str, path: str) -> Found[R] | None:
        endpoint = self._fixed[method].get(path)
        if endpoint is not None:
            return Found(endpoint, {})
        parts = path.split("/")
        for pattern, endpoint in self._open.get(method, ()):
            if len(pattern) == len(parts) and all(
                part != "" if want.startswith("{") else want == part
                for want, part in zip(pattern, parts, strict=True)
            ):
                pairs = zip(pattern, parts, strict=True)
                return Found(endpoint, {want[1:-1]: part for want, part in pairs if want.startswith("{")})
        return None

    def _meant(self, method: str, path: str) -> str | None:
        """The path with or without its slash at the end, without double slashes and dots, or in other letters."""
        if path in ("/", "*", ""):
            return None
        clean = clean_path(path)
        for spelling in (_other_slash(path), clean, _other_slash(clean)):
            if self._at(method, spelling) is not None:
                return spelling
        for spelling in (clean, _other_slash(clean)):
            parts = spelling.split("/")
            for known in (*(there.split("/") for there in self._fixed[method]), *self._patterns(method)):
                if len(known) == len(parts) and all(
                    part != "" if want.startswith("{") else want.lower() == part.lower()
                    for want, part in zip(known, parts, strict=True)
                ):
                    pairs = zip(known, parts, strict=True)
                    return "/".join(part if want.startswith("{") else want for want, part in pairs)
        return None

    def _patterns(self, method: str) -> list[list[str]]:
        return [pattern for pattern, _ in self._open.get(method, ())]


def _other_slash(path: str) -> str:
    return path[:-1] if len(path) > 1 and path.endswith("/") else path + "/"


def clean_path(path: str) -> str:
    """``path`` with a slash in front, and without empty segments, ``.`` and ``..``."""
    parts: list[str] = []
    given = path.split("/")
    for part in given:
        if part == "..":
            del parts[-1:]
        elif part not in ("", "."):
            parts.append(part)
    clean = "/" + "/".join(parts)
    return clean + "/" if parts and given[-1] in ("", ".") else clean
