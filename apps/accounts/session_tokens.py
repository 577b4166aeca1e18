"""The token that a login hands out: a random key, signed together with the time of the login.

The database knows only the key's digest, and one per user: the next login or a logout makes earlier tokens useless.
"""

from __future__ import annotations

import secrets

from django.conf import settings
from django.core.signing import BadSignature, SignatureExpired, TimestampSigner


class NoSessionToken(Exception):
    """The text was not signed here; it may be something else."""


def new_key() -> str:
    return secrets.token_urlsafe(32)


def token_of(key: str) -> str:
    """Return the token for a session key. It has no white space."""
    return _signer().sign(key)


def key_of(token: str) -> str | None:
    """Return the session key in a token, None when the token is too old. Raises NoSessionToken."""
    try:
        return _signer().unsign(token, max_age=settings.SESSION_SECONDS)
    except SignatureExpired:
        return None
    except (BadSignature, UnicodeError):
        raise NoSessionToken from None


def _signer() -> TimestampSigner:
    return TimestampSigner(sep=".", salt="apps.accounts.session_tokens")
