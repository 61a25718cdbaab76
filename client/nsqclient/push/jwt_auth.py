"""Checks JSON Web Tokens, without asking anybody. Needs the extra ``nsq-suite[jwt]``."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from nsqclient.errors import ConfigError
from nsqclient.push.grants import BadGrant, Denied, Grant, read_permissions

HMAC = frozenset({"HS256", "HS384", "HS512"})
SIGNATURES = frozenset(
    {"RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "PS256", "PS384", "PS512", "EdDSA"}
)


class JwtAuth:
    """Tokens signed with ``key``: a secret (HS256), or the PEM text of a public key (RS256 and the like).

    A token must have ``exp``. ``aud`` and ``iss`` must be these when they are given; a token with ``aud`` is
    meant for somebody else when no audience is given. ``user_claim`` names
    the user, ``permissions_claim`` holds what nsqd's auth service calls ``authorizations``: what may be
    heard beside the user's own messages. A connection ends when its token does.
    """

    def __init__(
        self,
        key: str,
        *,
        algorithms: Sequence[str] = ("HS256",),
        audience: str | None = None,
        issuer: str | None = None,
        user_claim: str = "sub",
        permissions_claim: str = "nsq",
        leeway: float = 5.0,
    ) -> None:
        """Clocks may be ``leeway`` seconds apart. Raises ConfigError."""
        try:
            import jwt
        except ImportError:
            raise ConfigError("tokens can't be checked without PyJWT: install nsq-suite[jwt]") from None
        wanted = set(algorithms)
        if not wanted or not wanted <= HMAC | SIGNATURES:
            raise ConfigError(f"{sorted(wanted - HMAC - SIGNATURES) or 'no'} algorithm is known")
        if wanted & HMAC and wanted & SIGNATURES:
            # with both, anybody could sign with the public key as if it were the secret
            raise ConfigError("algorithms are either with a secret (HS...) or with a public key, not both")
        if wanted & HMAC and len(key.encode()) < 32:
            raise ConfigError("a secret has at least 32 bytes; a shorter one can be guessed")
        for name in sorted(wanted):
            _check_key(jwt, name, key)
        self._jwt = jwt
        self._key = key
        self._algorithms = sorted(wanted)
        self._audience = audience
        self._issuer = issuer
        self._user_claim = user_claim
        self._permissions_claim = permissions_claim
        self._leeway = leeway

    async def check(self, token: str, *, remote_ip: str, tls: bool) -> Grant:
        """Raises Denied."""
        try:
            claims: dict[str, Any] = self._jwt.decode(
                token,
                self._key,
                algorithms=self._algorithms,
                audience=self._audience,
                issuer=self._issuer,
                leeway=self._leeway,
                options={"require": ["exp"]},
            )
        except self._jwt.PyJWTError as e:
            raise Denied(f"{type(e).__name__}: {e}") from None
        except (ValueError, OverflowError, RecursionError) as e:  # read before any signature is looked at
            raise Denied(f"the token is broken: {type(e).__name__}") from None
        user = claims.get(self._user_claim)
        if not isinstance(user, str) or not user:
            raise Denied(f"the token has no {self._user_claim}")
        try:
            permissions = read_permissions(claims.get(self._permissions_claim))
        except BadGrant as e:
            raise Denied(str(e)) from None
        try:
            ends = float(claims["exp"])  # PyJWT takes digits in quotes, too
        except OverflowError:
            raise Denied("the token's end is no time") from None
        return Grant(user, permissions, max(0.0, ends + self._leeway - time.time()))

    async def close(self) -> None:
        """Nothing is open."""


def _check_key(jwt: Any, algorithm: str, key: str) -> None:
    """Raises ConfigError for a key that can verify nothing, which else every token would be blamed for."""
    try:
        prepared = jwt.get_algorithm_by_name(algorithm).prepare_key(key)
    except NotImplementedError:
        raise ConfigError(f"{algorithm} needs the package cryptography") from None
    except (jwt.PyJWTError, ValueError, TypeError):
        raise ConfigError(f"the key is none for {algorithm}; is the algorithm the right one?") from None
    if hasattr(prepared, "sign"):
        raise ConfigError("the key is a private one: whoever verifies tokens gets the public key only")
