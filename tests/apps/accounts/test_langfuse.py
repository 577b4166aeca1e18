"""The keys of a Langfuse project: tried before they are stored, and readable nowhere."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client

from apps.accounts import selectors, services
from apps.accounts.models import AuditEntry, LangfuseKeys, Tenant
from apps.accounts.services import create_token
from apps.core.crypto import decrypt
from tests.apps.accounts.conftest import Web
from tests.apps.accounts.test_secrecy import dump, everything_logged
from tests.tools.langfuse_server import PUBLIC_KEY, SECRET_KEY, LangfuseServer

PATH = "/v1/langfuse/api_key"
NOTHING = {"code": 0, "message": "Have not record any Langfuse keys.", "data": None}

__all__ = ["everything_logged"]


@pytest.fixture
def server(settings: Any) -> Iterator[LangfuseServer]:
    with LangfuseServer() as server:
        settings.MODELS = replace(settings.MODELS, private_hosts=frozenset({"*"}))
        yield server


def said(answer: dict[str, Any]) -> dict[str, Any]:
    return {name: answer[name] for name in ("code", "message", "data") if name in answer}


@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_a_life_of_keys(ada: Web, server: LangfuseServer, profile: str, method: str):
    shown = SECRET_KEY if profile == "exact" else "…-key"
    record = {"tenant_id": ada.user.pk, "host": server.url, "public_key": PUBLIC_KEY, "secret_key": shown}
    assert said(ada.call("GET", PATH)) == NOTHING
    assert said(ada.call("DELETE", PATH)) == NOTHING
    for _ in range(2):  # one record, whatever is sent
        assert said(ada.call(method, PATH, server.keys)) == {"code": 0, "message": "success", "data": record}
    assert LangfuseKeys.objects.count() == 1
    project = {"project_id": "p1", "project_name": "Bridges"}
    assert said(ada.call("GET", PATH)) == {"code": 0, "message": "success", "data": record | project}
    assert said(ada.call("DELETE", PATH)) == {"code": 0, "message": "success", "data": True}
    assert said(ada.call("GET", PATH)) == NOTHING
    recorded = AuditEntry.objects.filter(object_kind="Langfuse keys").values_list("action", flat=True)
    assert list(recorded) == ["delete", "set", "set"]


@pytest.mark.parametrize(
    ("change", "code", "message"),
    [
        ({"secret_key": ""}, 102, "Missing required fields"),
        ({"host": ""}, 102, "Missing required fields"),
        ({"public_key": None}, 102, "Missing required fields"),
        ({"secret_key": "wrong"}, 102, "Invalid Langfuse keys"),
        ({"host": "http://127.0.0.1:9"}, 100, "Error from Langfuse: the connection failed"),
        ({"host": "file:///etc/passwd"}, 101, "host"),
        ({"secret_key": ["x"]}, 101, "secret_key"),
    ],
)
def test_keys_that_are_not_stored(
    ada: Web, server: LangfuseServer, profile: str, change: dict[str, Any], code: int, message: str
):
    answer = ada.call("POST", PATH, server.keys | change)
    assert (answer["code"], message in answer["message"]) == (code, True), answer
    assert not LangfuseKeys.objects.exists()


def test_required_keys(ada: Web):
    answer = ada.call("POST", PATH, {"host": "https://x"})
    assert (answer["code"], answer["message"]) == (101, "required argument are missing: secret_key,public_key; ")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ((401, {}), (102, "Invalid Langfuse keys loaded")),
        ((200, {"data": []}), (102, "Invalid Langfuse keys loaded")),
        ((500, {}), (0, "Error from Langfuse: it answered with status 500")),
        ((200, b"<html>"), (0, "Error from Langfuse: it sent something that is not JSON")),
        ((200, []), (0, "Error from Langfuse: the answer holds no list of projects")),
    ],
)
def test_keys_that_are_not_good_any_more(
    ada: Web, server: LangfuseServer, given: tuple[int, Any], expected: tuple[int, str]
):
    ada.call("POST", PATH, server.keys)
    server.answer = given
    answer = ada.call("GET", PATH)
    assert (answer["code"], answer["message"]) == expected
    assert not answer.get("data")


def test_a_private_address_is_not_asked(ada: Web, server: LangfuseServer, settings: Any):
    settings.MODELS = replace(settings.MODELS, private_hosts=frozenset())
    answer = ada.call("POST", PATH, server.keys)
    assert "within this server's own network" in answer["message"]
    assert not LangfuseKeys.objects.exists()


def test_everybody_has_their_own(ada: Web, bob: Web, server: LangfuseServer):
    ada.call("POST", PATH, server.keys)
    assert said(bob.call("GET", PATH)) == NOTHING
    assert said(bob.call("DELETE", PATH)) == NOTHING
    assert LangfuseKeys.objects.get().tenant_id == ada.user.pk


def test_the_secret_key_is_in_no_answer_log_or_table(
    ada: Web, server: LangfuseServer, everything_logged: pytest.LogCaptureFixture
):
    answers = [ada.call("POST", PATH, server.keys), ada.call("GET", PATH)]
    server.answer = (401, {"message": f"The key {SECRET_KEY} is wrong"})
    answers += [ada.call("GET", PATH), ada.call("PUT", PATH, server.keys)]
    server.answer = (500, {"message": SECRET_KEY})
    answers += [ada.call("GET", PATH), ada.call("PUT", PATH, server.keys)]
    keys = LangfuseKeys.objects.get()
    assert decrypt(keys.encrypted_secret_key) == SECRET_KEY
    langfuse = selectors.langfuse_of(Tenant.objects.get(pk=ada.user.pk))
    assert langfuse is not None
    assert langfuse.secret_key == SECRET_KEY
    assert SECRET_KEY not in str(answers) + dump() + everything_logged.text + repr([keys, langfuse])


def test_it_survives_a_new_secret_key(ada: Web, server: LangfuseServer, settings: Any):
    ada.call("POST", PATH, server.keys)
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "the new secret key of this installation"
    call_command("rotate_keys", stdout=StringIO())
    settings.SECRET_KEY_FALLBACKS = []
    assert decrypt(LangfuseKeys.objects.get().encrypted_secret_key) == SECRET_KEY
    settings.SECRET_KEY = "one that nobody has rotated to"
    token = create_token(tenant=Tenant.objects.get()).secret
    assert Web(f"Bearer {token}").call("GET", PATH)["message"] == "Invalid Langfuse keys loaded"


def test_operators_see_whose_they_are_and_can_remove_them(ada: Web, server: LangfuseServer):
    ada.call("POST", PATH, server.keys)
    keys = LangfuseKeys.objects.get()
    browser = Client()
    browser.force_login(services.create_account(email="operator@example.org", password="x", is_operator=True))
    page = "/admin/accounts/langfusekeys/"
    for place in (page, f"{page}{keys.pk}/change/", f"{page}?q=pk-lf"):
        shown = browser.get(place).content.decode()
        assert PUBLIC_KEY in shown
        assert SECRET_KEY not in shown
        assert keys.encrypted_secret_key not in shown
    assert browser.post(f"{page}{keys.pk}/delete/", {"post": "yes"}).status_code == 302
    assert not LangfuseKeys.objects.exists()


def test_there_are_no_plugins(ada: Web, profile: str):
    assert said(ada.call("GET", "/v1/plugin/llm_tools")) == {"code": 0, "message": "success", "data": []}
