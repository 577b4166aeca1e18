"""Identifiers of rows."""

from __future__ import annotations

import secrets
import uuid

_NOT_AN_ADDRESS = 1 << 40  # the bit by which a node is told from a network card's address (RFC 9562, section 6.10)


def new_id() -> str:
    """Return the 32 hexadecimal characters of a version-1 UUID, whose version clients of the contract check.

    It says when the row was made. Node and clock sequence are random (61 bits), so that an id tells neither where, nor
    what other ids may be: whoever may continue a conversation on a page, or see a picture, is told its id.
    """
    return uuid.uuid1(secrets.randbits(48) | _NOT_AN_ADDRESS, secrets.randbits(14)).hex


def is_id(text: str) -> bool:
    """Tell whether a text can be an id at all; whatever cannot is not worth a query."""
    return len(text) == 32 and all(character in "0123456789abcdef" for character in text)
