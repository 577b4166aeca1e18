"""Passwords on their way from a client: encrypted under this server's public key, or plain where that is allowed.

Inside the encryption clients put the base64 text of a password. That text, as it is, is what gets hashed.
"""

from __future__ import annotations

import base64
import binascii

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from apps.core.kept import kept
from apps.core.once import once
from apps.core.wire_profile import profile

KEY_BITS = 2048
LONGEST = 4096  # characters of a field; more is no password and not worth hashing


def encoded(password: str) -> str:
    """Return the text that stands for a password when it is hashed: its base64."""
    return base64.b64encode(password.encode("utf-8", "replace")).decode()


def decoded(text: str) -> str | None:
    """Return the password that the base64 text stands for, None if it is not base64 of UTF-8."""
    try:
        return base64.b64decode(text, validate=True).decode()
    except ValueError:
        return None


def opened(field: object) -> str | None:
    """Return the text to hash or compare from what a client sent as a password; None if it cannot be read.

    Base64 that spans lines is accepted. A damaged ciphertext yields random text instead of an error (OpenSSL's implicit
    rejection), so nobody can learn from our answers how a ciphertext decrypts; random text is hardly ever printable.
    """
    if not isinstance(field, str) or not field or len(field) > LONGEST:
        return None
    ciphertext = _ciphertext(field)
    if ciphertext is None:
        return encoded(field) if settings.PLAIN_PASSWORDS and profile().takes_plain_passwords else None
    try:
        text = _private_key().decrypt(ciphertext, padding.PKCS1v15()).decode()
    except ValueError:
        return None
    return text if text and text.isprintable() else None


def public_key() -> str:
    """Return the PEM of the key that clients encrypt passwords under."""
    public = _private_key().public_key()
    return public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()


def _ciphertext(field: str) -> bytes | None:
    """Return the bytes behind lenient base64, None unless they are as many as the key's."""
    try:
        content = base64.b64decode(field.encode("utf-8", "replace"))
    except binascii.Error:
        return None
    return content if len(content) * 8 == _private_key().key_size else None


@once
def _private_key() -> rsa.RSAPrivateKey:
    """Return the configured key, else the one in the data folder, which is made when it is first needed."""
    pem = settings.RSA_PRIVATE_KEY or kept(settings.RSA_KEY_FILE, _new_key)
    phrase = settings.RSA_PASSPHRASE.encode() if settings.RSA_PRIVATE_KEY and settings.RSA_PASSPHRASE else None
    try:
        key = serialization.load_pem_private_key(pem.encode(), phrase)
    except (ValueError, TypeError) as error:
        raise ImproperlyConfigured(f"The private key for passwords cannot be read: {error}") from None
    if not isinstance(key, rsa.RSAPrivateKey):
        raise ImproperlyConfigured("The private key for passwords must be an RSA key.")
    return key


def _new_key() -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=KEY_BITS)
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    ).decode()
