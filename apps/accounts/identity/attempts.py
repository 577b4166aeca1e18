"""A login on its way: what the browser that began it carries until the provider sends it back.

The cookie is signed and short-lived, and each attempt ends once: a callback that nobody here began, or that comes from
another browser or a second time, is refused.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from dataclasses import asdict, dataclass

from django.core import signing
from django.utils.crypto import constant_time_compare

from apps.accounts import throttles

COOKIE = "ragflow_login"
LIFE = 600  # seconds that somebody may take at the provider
_SALT = "apps.accounts.identity.attempts"


@dataclass(frozen=True, slots=True)
class Attempt:
    channel: str
    state: str  # comes back in the address of the callback
    nonce: str  # comes back within the ID token
    verifier: str  # proves to the provider that the code was asked for here (PKCE, RFC 7636)

    @property
    def challenge(self) -> str:
        hashed = hashlib.sha256(self.verifier.encode()).digest()
        return base64.urlsafe_b64encode(hashed).decode().rstrip("=")


def new_attempt(channel: str) -> Attempt:
    return Attempt(channel, secrets.token_hex(16), secrets.token_urlsafe(24), secrets.token_urlsafe(48))


def sealed(attempt: Attempt) -> str:
    """Return the value of the cookie."""
    return signing.dumps(asdict(attempt), salt=_SALT)


def take(cookie: str, *, channel: str, state: str) -> Attempt | None:
    """Return the attempt that a callback ends and use it up; None if this browser has no such attempt."""
    try:
        attempt = Attempt(**signing.loads(cookie, salt=_SALT, max_age=LIFE))
    except (signing.BadSignature, UnicodeError, ValueError):
        return None
    if attempt.channel != channel or not constant_time_compare(attempt.state, state):
        return None
    return attempt if throttles.is_first_use(f"login attempt {attempt.state}", seconds=2 * LIFE) else None
