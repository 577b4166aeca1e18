"""Checking ID tokens (OpenID Connect Core 1.0, section 3.1.3.7)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.utils.crypto import constant_time_compare
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import JWKRegistry, Key, KeySet

LEEWAY = 60  # seconds that clocks may differ
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
"""Signatures only: `none` proves nothing, and with a shared secret (HS256) a public key could pass for one."""


class BadIDToken(Exception):
    """The sentence says which check failed and shows nothing of the token."""


def claims_of(token: object, keys: Any, *, issuer: str, client_id: str, nonce: str) -> dict[str, Any]:
    """Return the claims of a token that the issuer signed for this client and this login. Raises BadIDToken."""
    if not isinstance(token, str) or not token:
        raise BadIDToken("there is no ID token")
    rules = jwt.JWTClaimsRegistry(
        leeway=LEEWAY,
        iss={"essential": True, "value": issuer},
        aud={"essential": True, "value": client_id},
        sub={"essential": True},
        exp={"essential": True},
        iat={"essential": True},
    )
    try:
        claims = jwt.decode(token, _key_set(keys), algorithms=ALGORITHMS).claims
        rules.validate(claims)
    except (JoseError, ValueError, TypeError, KeyError) as error:
        raise BadIDToken(type(error).__name__) from None
    if not constant_time_compare(_text(claims, "nonce"), nonce):
        raise BadIDToken("the nonce is another login's")
    if "azp" in claims and claims["azp"] != client_id:
        raise BadIDToken("it was issued to another client")
    return claims


def _key_set(keys: Any) -> KeySet:
    """Return the keys that can check signatures; what is not understood is left out, as RFC 7517 has it."""
    listed = keys.get("keys") if isinstance(keys, Mapping) else None
    return KeySet([key for item in (listed if isinstance(listed, list) else []) if (key := _key(item)) is not None])


def _key(item: Any) -> Key | None:
    if not isinstance(item, dict) or item.get("kty") == "oct" or item.get("use", "sig") != "sig":
        return None
    try:
        return JWKRegistry.import_key(item)
    except (JoseError, ValueError, TypeError, KeyError):
        return None


def _text(claims: Mapping[str, Any], name: str) -> str:
    value = claims.get(name)
    return value if isinstance(value, str) else ""
