"""Identifiers of rows."""

from __future__ import annotations

import uuid


def new_id() -> str:
    """Return the 32 hexadecimal characters of a version-1 UUID.

    Clients of the contract check the version. It says when and where the row was made, so no secret may derive from it.
    """
    return uuid.uuid1().hex


def is_id(text: str) -> bool:
    """Tell whether a text can be an id at all; whatever cannot is not worth a query."""
    return len(text) == 32 and all(character in "0123456789abcdef" for character in text)
