"""Encrypting what must be shown or used again. Passwords and plain look-ups are hashed instead."""

from __future__ import annotations

import base64
import hashlib

from cryptography.fernet import Fernet, InvalidToken
from django.conf import settings


def encrypt(secret: str) -> str:
    return _fernet().encrypt(secret.encode()).decode()


def decrypt(ciphertext: str) -> str | None:
    """Return the secret, or None when it was encrypted under another installation's key."""
    try:
        return _fernet().decrypt(ciphertext.encode()).decode()
    except InvalidToken:
        return None


def digest(secret: str) -> str:
    """Return the SHA-256 by which a random token is looked up. The token has 256 random bits, so no salt is needed."""
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()


def _fernet() -> Fernet:
    key = hashlib.sha256(b"ragflow stored secrets" + settings.SECRET_KEY.encode()).digest()
    return Fernet(base64.urlsafe_b64encode(key))
