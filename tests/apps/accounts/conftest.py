"""People at the web API: they encrypt passwords as the contract's clients do, and carry session tokens."""

from __future__ import annotations

import base64
import textwrap
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from typing import Any

import orjson
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from django.test import Client

from apps.accounts import passwords, services
from apps.accounts.errors import MailFailed
from apps.accounts.models import Membership, User
from apps.accounts.services import recovery
from apps.accounts.services.sessions import start_session

PASSWORD = "correct horse"
_numbers = count(1)


def encrypted(password: str, pem: str | None = None) -> str:
    """Return the field that a client sends for a password, broken over lines as some clients send it."""
    key = serialization.load_pem_public_key((pem or passwords.public_key()).encode())
    assert isinstance(key, rsa.RSAPublicKey)
    return wrapped(key.encrypt(base64.b64encode(password.encode()), padding.PKCS1v15()))


def wrapped(ciphertext: bytes) -> str:
    return "\n".join(textwrap.wrap(base64.b64encode(ciphertext).decode(), 64))


class Web(Client):
    """A client of the web API. `authorization` is the whole header."""

    def __init__(self, authorization: str = "", user: User | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.authorization = authorization
        self.user = user

    def call(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        """Send JSON and return the answer's object, with `status` and `headers` added."""
        response = self.send(method, path, b"" if body is None else orjson.dumps(body))
        return orjson.loads(response.content) | {"status": response.status_code, "headers": response.headers}

    def send(self, method: str, path: str, content: bytes = b"", content_type: str = "application/json") -> Any:
        headers = {"Authorization": self.authorization} if self.authorization else {}
        return self.generic(method, path, content, content_type=content_type, headers=headers)


@pytest.fixture(autouse=True)
def fast_hashing(settings: Any) -> None:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture(autouse=True)
def later(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What a forgotten password leaves for another thread. Here it is done at once, where tests see its mail."""
    left: list[Any] = []

    def submit(function: Callable[..., None], *args: object) -> None:
        left.append(function)
        with suppress(MailFailed):
            function(*args)

    monkeypatch.setattr(recovery, "submit", submit)
    return left


@pytest.fixture
def anonymous(db: None) -> Web:
    return Web()


@pytest.fixture
def new_person(db: None) -> Callable[..., Web]:
    """Return a function that makes a user with a password, logs in and returns the client."""

    def make(email: str = "", **fields: Any) -> Web:
        user = services.create_account(
            email=email or f"person{next(_numbers)}@example.org", password=PASSWORD, **fields
        )
        return Web(start_session(user=user).token, user)

    return make


@pytest.fixture
def ada(new_person: Callable[..., Web]) -> Web:
    return new_person("ada@example.org", nickname="Ada")


@pytest.fixture
def bob(new_person: Callable[..., Web]) -> Web:
    return new_person("bob@example.org", nickname="Bob")


def join(team: Web, person: Web, role: str = "editor", *, is_pending: bool = False) -> Membership:
    assert team.user is not None
    assert person.user is not None
    return Membership.objects.create(tenant_id=team.user.pk, user_id=person.user.pk, role=role, is_pending=is_pending)
