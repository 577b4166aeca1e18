"""Nothing that opens a door may be read from the database or the log."""

from __future__ import annotations

import logging
import re

import pytest
from django.core import mail
from django.db import connection

from apps.accounts.models import Tenant
from apps.accounts.services import create_token
from tests.apps.accounts.conftest import Web, encrypted
from tests.apps.accounts.test_recovery import mailed_code, see_captcha, verify

PLANTED = "planted-pass-phrase"
EMAIL = "ada@example.org"


def dump() -> str:
    """Return every value of every table."""
    with connection.cursor() as cursor:
        tables = connection.introspection.table_names(cursor)
        rows = []
        for table in tables:
            cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")
            rows += cursor.fetchall()
    return repr(rows)


@pytest.fixture
def everything_logged(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.DEBUG)
    for name in ("apps", "ragflow", "django"):
        caplog.set_level(logging.DEBUG, logger=name)
    return caplog


def test_a_whole_life_leaves_no_secret(anonymous: Web, profile: str, settings, everything_logged):
    settings.REGISTRATION_OPEN = True
    settings.DEBUG = False
    secrets = [PLANTED, f"{PLANTED}-2", f"{PLANTED}-3"]
    first = encrypted(PLANTED)
    registered = anonymous.call("POST", "/v1/user/register", {"email": EMAIL, "nickname": "Ada", "password": first})
    logged_in = anonymous.call("POST", "/v1/user/login", {"email": EMAIL, "password": first})
    anonymous.call("POST", "/v1/user/login", {"email": EMAIL, "password": f"{PLANTED}-wrong"})
    secrets += [registered["headers"]["Authorization"], logged_in["headers"]["Authorization"], first.replace("\n", "")]
    secrets += [token.split(".")[0] for token in secrets if token.count(".") == 2]
    person = Web(logged_in["headers"]["Authorization"])

    person.call("POST", "/v1/user/setting", {"password": first, "new_password": encrypted(f"{PLANTED}-2")})
    made = person.call("POST", "/v1/system/new_token")["data"]
    rotated = person.call("POST", f"/v1/system/token/{made['id']}/rotate")["data"]
    bound = person.call("POST", "/v1/api/new_token", {"dialog_id": "x"})["data"]
    secrets += [made["token"], made["beta"], rotated["token"], bound["token"]]
    for token in (made["token"], f"{PLANTED}-no-token"):
        Web(f"Bearer {token}").call("GET", "/api/v1/datasets")
        Web(f"Bearer {token}").call("GET", "/v1/user/info")
        person.call("DELETE", f"/v1/system/token/{token}")

    captcha = see_captcha(anonymous)
    code = mailed_code(anonymous)
    verify(anonymous, code)
    new = encrypted(f"{PLANTED}-3")
    reset = anonymous.call(
        "POST",
        "/v1/user/forget/reset-password",
        {"email": EMAIL, "new_password": new, "confirm_new_password": new},
    )
    secrets.append(reset["headers"]["Authorization"])

    written = dump() + everything_logged.text
    for secret in secrets:
        assert secret not in written
    for short in (captcha, code):  # too short to be absent from hashes by chance, so looked for as words
        assert not re.search(rf"\b{short}\b", dump())
    assert code in mail.outbox[-1].body


def test_failures_show_no_secret_either(anonymous: Web, api, profile: str, everything_logged, monkeypatch, settings):
    """Also when something breaks in the middle: neither the answer nor the log has it."""
    settings.REGISTRATION_OPEN = True

    def explode(*_args: object, **_kwargs: object) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr("apps.accounts.services.accounts.Tenant.objects.create", explode)
    body = {"email": EMAIL, "nickname": "", "password": encrypted(PLANTED)}
    answer = anonymous.call("POST", "/v1/user/register", body)
    assert answer["code"] == 100
    secret = create_token(tenant=Tenant.objects.get()).secret
    monkeypatch.setattr("apps.accounts.selectors.tokens_of", explode)
    failed = Web(f"Bearer {secret}").call("GET", "/v1/system/token_list")
    assert failed["code"] == 100
    written = everything_logged.text + str(answer) + str(failed)
    assert "broken" in written
    for planted in (PLANTED, secret, body["password"], body["password"][:40]):
        assert planted not in written
