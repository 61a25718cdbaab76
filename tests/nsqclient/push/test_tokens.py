"""Who a token says you are: JSON Web Tokens, and the auth service of nsqd."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from nsqclient import ConfigError
from nsqclient.push import Denied, HttpAuth, JwtAuth, Unavailable
from tests.support.auth_server import AuthServer, permissions

SECRET = "s" * 32


def token(key: Any = SECRET, signed: str = "HS256", **claims: Any) -> str:
    return jwt.encode({"sub": "ann", "exp": time.time() + 100, **claims}, key, algorithm=signed)


async def check(auth: JwtAuth | HttpAuth, text: str) -> Any:
    return await auth.check(text, remote_ip="10.0.0.1", tls=True)


async def test_a_signed_token_names_user_permissions_and_end() -> None:
    claims: dict[str, Any] = {"nsq": [{"topic": "^a", "channels": [".*"], "permissions": ["subscribe"]}]}
    grant = await check(JwtAuth(SECRET), token(**claims))
    assert grant.user == "ann"
    assert 90 < grant.ttl <= 106
    assert grant.may_subscribe("abc", "")
    assert not grant.may_subscribe("bca", "")
    assert not (await check(JwtAuth(SECRET), token())).permissions


async def test_an_end_in_quotes_is_an_end() -> None:
    end = str(int(time.time()) + 50)
    grant = await check(JwtAuth(SECRET), token(exp=end))
    assert 40 < grant.ttl < 60


@pytest.mark.parametrize(
    "make",
    [
        lambda: "",
        lambda: "x.y.z",
        lambda: token("t" * 32),
        lambda: token(exp=time.time() - 60),
        lambda: token(exp=None),
        lambda: token(sub=""),
        lambda: token(nsq="all"),
        lambda: token(nsq=[{"topic": "(", "channels": [".*"], "permissions": ["subscribe"]}]),
        lambda: jwt.encode({"sub": "ann"}, SECRET, algorithm="HS256"),
        lambda: jwt.encode({"exp": time.time() + 100}, SECRET, algorithm="HS256"),
        lambda: token(None, "none"),
        lambda: token("s" * 64, "HS512"),
    ],
)
async def test_any_other_token_is_denied(make: Callable[[], str]) -> None:
    with pytest.raises(Denied):
        await check(JwtAuth(SECRET), make())


async def test_audience_and_issuer_are_checked_when_they_are_given() -> None:
    auth = JwtAuth(SECRET, audience="push", issuer="https://login")
    await check(auth, token(aud="push", iss="https://login"))
    for claims in (
        {},
        {"aud": "push"},
        {"aud": "other", "iss": "https://login"},
        {"aud": "push", "iss": "x"},
    ):
        with pytest.raises(Denied):
            await check(auth, token(**claims))


async def test_a_public_key_verifies_and_can_not_be_used_as_a_secret() -> None:
    private = rsa.generate_private_key(65537, 2048)
    public = private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    auth = JwtAuth(public.decode(), algorithms=["RS256"])
    assert (await check(auth, token(private, "RS256"))).user == "ann"
    with pytest.raises(Denied):
        await check(auth, token())
    with pytest.raises(ConfigError):
        JwtAuth(public.decode(), algorithms=["RS256", "HS256"])


async def test_a_token_for_somebody_else_is_denied_where_nobody_is_named() -> None:
    with pytest.raises(Denied):
        await check(JwtAuth(SECRET), token(aud="billing"))


def test_a_key_that_fits_no_algorithm_is_told_at_once() -> None:
    private = rsa.generate_private_key(65537, 2048)
    public = private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    secret = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    JwtAuth(public.decode(), algorithms=["RS256", "PS512"])
    for key, algorithms in (
        (public.decode(), ["HS256"]),
        (public.decode(), ["RS256", "ES256"]),
        (secret.decode(), ["RS256"]),
        (SECRET, ["RS256"]),
        (SECRET, ["EdDSA"]),
    ):
        with pytest.raises(ConfigError, match="key"):
            JwtAuth(key, algorithms=algorithms)


async def test_numbers_beyond_all_bounds_are_no_end() -> None:
    for end in (10**400, float("inf"), float("nan")):
        with pytest.raises(Denied):
            await check(JwtAuth(SECRET), token(exp=end))


@pytest.mark.parametrize(("key", "algorithms"), [("short", ["HS256"]), (SECRET, []), (SECRET, ["none"])])
def test_weak_settings_are_refused(key: str, algorithms: list[str]) -> None:
    with pytest.raises(ConfigError):
        JwtAuth(key, algorithms=algorithms)


async def test_the_auth_service_of_nsqd_tells_who_it_is() -> None:
    async with AuthServer() as server:
        server.answers["s+&x"] = permissions(
            ("^t$", ["^push#ephemeral$"], ["subscribe"]), identity="ann", ttl=7
        )
        auth = HttpAuth(server.address)
        grant = await check(auth, "s+&x")
        await auth.close()
        assert (grant.user, grant.ttl) == ("ann", 7.0)
        assert grant.may_subscribe("t", "")
        assert not grant.may_subscribe("t", "c")
        posted = HttpAuth(server.address, method="post")
        assert (await check(posted, "s+&x")).user == "ann"
        await posted.close()
        assert [asked.method for asked in server.asked] == ["GET", "POST"]


@pytest.mark.parametrize(
    "answer",
    [
        b"no json",
        b"[]",
        {"ttl": 0, "identity": "ann"},
        {"ttl": True, "identity": "ann"},
        {"ttl": 60, "identity": ""},
        {"ttl": 60, "identity": "ann", "authorizations": 7},
        {"ttl": 60, "identity": "ann", "authorizations": [{"channels": "x"}]},
        permissions(("(", [".*"], ["subscribe"]), identity="ann"),
    ],
)
async def test_an_answer_of_no_use_lets_nobody_in(answer: Any) -> None:
    async with AuthServer() as server:
        server.answers["s"] = answer
        auth = HttpAuth(server.address)
        with pytest.raises((Denied, Unavailable)):
            await check(auth, "s")
        await auth.close()


async def test_a_refusal_is_told_from_a_service_that_is_away_and_neither_shows_the_token() -> None:
    async with AuthServer() as server:
        auth = HttpAuth(server.address)
        with pytest.raises(Denied) as refused:
            await check(auth, "top-secret")
        address = server.address
        await auth.close()
    auth = HttpAuth(address)
    with pytest.raises(Unavailable) as away:
        await check(auth, "top-secret")
    await auth.close()
    for error in (refused.value, away.value):
        assert (
            "top-secret" not in f"{error} {error.__cause__} {error.__suppress_context__ or error.__context__}"
        )


async def test_another_service_is_asked_when_one_is_away() -> None:
    async with AuthServer() as server:
        server.answers["s"] = permissions(identity="ann")
        auth = HttpAuth("127.0.0.1:1", server.address)
        for _ in range(5):
            assert (await check(auth, "s")).user == "ann"
        await auth.close()
