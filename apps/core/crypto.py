"""Encrypting what must be shown or used again. Passwords and plain look-ups are hashed instead.

Columns with encrypted text are named `encrypted_...`: by that name `manage.py rotate_keys` finds them.
"""

from __future__ import annotations

import base64
import hashlib
from functools import lru_cache
from typing import Any

import orjson
from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings


def encrypt(secret: str) -> str:
    return _fernet().encrypt(secret.encode()).decode()


def decrypt(ciphertext: str) -> str | None:
    """Return the secret, or None when it was encrypted under a key that is not this installation's, now or before."""
    try:
        return _fernet().decrypt(ciphertext.encode()).decode()
    except InvalidToken:
        return None


def reencrypt(ciphertext: str) -> str | None:
    """Return the same secret encrypted under the current key, or None when it cannot be read."""
    try:
        return _fernet().rotate(ciphertext.encode()).decode()
    except InvalidToken:
        return None


def sealed_object(column: str, secret_column: str, entry: str) -> property:
    """Return a property for a JSON object one entry of which is a secret.

    The object is stored in `column` without the entry, whose text is encrypted in `secret_column`. An entry that is
    empty or no text is no secret, and stays where it is. One that cannot be read any more is empty text.
    """

    def read(row: Any) -> dict[str, Any]:
        stored, ciphertext = getattr(row, column), getattr(row, secret_column)
        return {**stored, entry: decrypt(ciphertext) or ""} if ciphertext else stored

    def write(row: Any, value: dict[str, Any]) -> None:
        secret = value.get(entry)
        if not isinstance(secret, str):
            secret = ""
        setattr(row, secret_column, encrypt(secret) if secret else "")
        setattr(row, column, {key: item for key, item in value.items() if key != entry} if secret else value)

    return property(read, write)


def sealed(secret_column: str) -> property:
    """Return a property for a JSON object that is a secret as a whole; its text is encrypted in `secret_column`.

    One that cannot be read any more is an empty object.
    """

    def read(row: Any) -> dict[str, Any]:
        ciphertext = getattr(row, secret_column)
        found = orjson.loads((ciphertext and decrypt(ciphertext)) or "{}")
        return found if isinstance(found, dict) else {}

    def write(row: Any, value: dict[str, Any]) -> None:
        setattr(row, secret_column, encrypt(orjson.dumps(value).decode()) if value else "")

    return property(read, write)


def digest(secret: str) -> str:
    """Return the SHA-256 by which a random token is looked up. The token has 256 random bits, so no salt is needed."""
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()


def _fernet() -> MultiFernet:
    """Return the cipher: it encrypts under the current key and reads what the earlier ones encrypted, too."""
    return _cipher((settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS))


@lru_cache(maxsize=4)
def _cipher(keys: tuple[str, ...]) -> MultiFernet:
    derived = (hashlib.sha256(b"ragflow stored secrets" + key.encode()).digest() for key in keys)
    return MultiFernet([Fernet(base64.urlsafe_b64encode(key)) for key in derived])
