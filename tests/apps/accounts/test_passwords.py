from __future__ import annotations

import base64
import stat
import subprocess

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from django.core.exceptions import ImproperlyConfigured

from apps.accounts import passwords
from tests.apps.accounts.conftest import encrypted, wrapped


def encrypt_text(text: bytes) -> bytes:
    key = serialization.load_pem_public_key(passwords.public_key().encode())
    assert isinstance(key, rsa.RSAPublicKey)
    return key.encrypt(text, padding.PKCS1v15())


@pytest.fixture
def fresh_key(settings, tmp_path):
    settings.RSA_KEY_FILE = tmp_path / "passwords.key"
    passwords._private_key.reset()
    yield settings.RSA_KEY_FILE
    passwords._private_key.reset()


@pytest.mark.parametrize("password", ["a", "123", "pässwörd", "x" * 183, "two\nlines"])
def test_what_clients_encrypt_is_opened(password: str, profile: str):
    assert passwords.opened(encrypted(password)) == passwords.encoded(password)
    assert passwords.decoded(passwords.encoded(password)) == password


def test_the_initial_administrators_password():
    assert passwords.encoded("admin") == "YWRtaW4="


def test_the_text_inside_counts_as_it_is():
    assert passwords.opened(wrapped(encrypt_text(b"not base64!"))) == "not base64!"


@pytest.mark.parametrize("noise", ["\n", "\r\n", " ", "\t", "-", "é"])
def test_base64_is_read_leniently(noise: str):
    field = encrypted("abc").replace("\n", "")
    assert passwords.opened(noise.join([field[:10], field[10:200], field[200:]])) == passwords.encoded("abc")


@pytest.mark.parametrize("text", [b"", b"\xff\xfe", b"a\0b", b"line\n"])
def test_text_that_cannot_be_a_password(text: bytes, profile: str):
    assert passwords.opened(wrapped(encrypt_text(text))) is None


@pytest.mark.parametrize("field", [None, "", 5, True, ["a"], {"a": 1}, b"abc", "x" * 5000])
def test_fields_that_are_no_text(field: object, profile: str):
    assert passwords.opened(field) is None


def test_another_key_or_damage_cannot_be_read():
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048).public_key()
    assert passwords.opened(wrapped(other.encrypt(b"YWRtaW4=", padding.PKCS1v15()))) is None
    good = bytearray(encrypt_text(b"YWRtaW4="))
    good[100] ^= 1
    assert passwords.opened(wrapped(bytes(good))) is None
    assert passwords.opened(wrapped(b"\xff" * 256)) is None


def test_plain_passwords(settings):
    assert passwords.opened("correct horse") == passwords.encoded("correct horse")
    assert passwords.opened("\udcff") is not None  # no crash on what UTF-8 cannot hold
    settings.WIRE_PROFILE = "exact"
    assert passwords.opened("correct horse") is None
    settings.WIRE_PROFILE = "standard"
    settings.PLAIN_PASSWORDS = False
    assert passwords.opened("correct horse") is None


def test_a_key_is_made_once_and_for_its_owner_only(fresh_key):
    first = passwords.public_key()
    assert stat.S_IMODE(fresh_key.stat().st_mode) == 0o600
    passwords._private_key.reset()
    assert passwords.public_key() == first
    assert [path.name for path in fresh_key.parent.iterdir()] == [fresh_key.name]


def test_a_configured_key_with_its_pass_phrase(fresh_key, settings):
    made = subprocess.run(
        ["openssl", "genrsa", "-traditional", "-des3", "-passout", "pass:secret", "2048"],
        capture_output=True,
        check=True,
    )
    settings.RSA_PRIVATE_KEY, settings.RSA_PASSPHRASE = made.stdout.decode(), "secret"
    assert passwords.opened(encrypted("abc")) == base64.b64encode(b"abc").decode()
    assert not fresh_key.exists()
    passwords._private_key.reset()
    settings.RSA_PASSPHRASE = "wrong"
    with pytest.raises(ImproperlyConfigured, match="cannot be read"):
        passwords.public_key()


def test_keys_of_other_kinds_are_refused(fresh_key, settings):
    settings.RSA_PRIVATE_KEY = (
        ec.generate_private_key(ec.SECP256R1())
        .private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        .decode()
    )
    with pytest.raises(ImproperlyConfigured, match="must be an RSA key"):
        passwords.public_key()
