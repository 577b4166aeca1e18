"""Passwords on their way to a server: base64 inside RSA, so that no log or proxy reads them by accident."""

from __future__ import annotations

import base64

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from ragflow.cli.errors import CommandFailed

DEFAULT_KEY = """-----BEGIN PUBLIC KEY-----
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEArq9XTUSeYr2+N1h3Afl/z8Dse/2yD0ZG
rKwx+EEEcdsBLca9Ynmx3nIB5obmLlSfmskLpBo0UACBmB5rEjBp2Q2f3AG3Hjd4B+gNCG6BDaaw
uDlgANIhGnaTLrIqWrrcm4EMzJOnAOI1fgzJRsOOUEfaS318Eq9OVO3apEyCCt0lOQK6PuksduOj
VxtltDav+guVAA068NrPYmRNabVKRNLJpL8w4D44sfth5RvZ3q9t+6RTArpEtc5sh5ChzvqPOzKG
MXW83C95TxmXqpbK6olN4RevSfVjEAgCydH6HN6OhtOQEcnrU97r9H0iZOWwbw3pVrZiUkuRD1R5
6Wzs2wIDAQAB
-----END PUBLIC KEY-----
"""
"""The public key of RAGFlow's own distribution, for servers that hand out none."""


def encrypted(password: str, pem: str) -> str:
    """Return what is sent for a password under a server's public key. Raises CommandFailed."""
    try:
        key = serialization.load_pem_public_key(pem.encode())
    except ValueError:
        raise CommandFailed("The public key for passwords is no PEM of an RSA key.") from None
    if not isinstance(key, rsa.RSAPublicKey):
        raise CommandFailed("The public key for passwords must be an RSA key.")
    encoded = base64.b64encode(password.encode("utf-8", "replace"))
    longest = key.key_size // 8 - 11  # what the padding leaves
    if len(encoded) > longest:
        raise CommandFailed(f"The password is too long: at most {longest // 4 * 3} bytes can be encrypted.")
    return base64.b64encode(key.encrypt(encoded, padding.PKCS1v15())).decode()
