"""Keys of model providers are readable nowhere; they survive a change of the installation's key."""

from __future__ import annotations

from collections.abc import Iterator
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from apps.accounts import language_models, services
from apps.accounts.models import APIToken, Tenant, TenantModel
from apps.accounts.services.secrets import encrypted_columns
from apps.core.crypto import decrypt, encrypt
from ragflow.engine.registry import HASHING, ModelSettings
from tests.apps.accounts.conftest import Web
from tests.apps.accounts.test_secrecy import dump, everything_logged
from tests.tools.model_server import ModelServer, Reply

PLANTED = "planted-key-of-a-provider"
Z = "ZHIPU-AI"

__all__ = ["everything_logged"]


@pytest.fixture
def server(settings: Any) -> Iterator[ModelServer]:
    with ModelServer() as server:
        settings.PROVIDER_URLS = {Z: server.url}
        settings.MODELS = ModelSettings(embedding_model=HASHING, private_hosts=frozenset({"*"}))
        language_models.registry.reset()
        yield server


def test_a_key_is_in_no_answer_log_or_table(
    ada: Web, server: ModelServer, everything_logged: pytest.LogCaptureFixture, profile: str
):
    said: list[Any] = []

    def call(method: str, path: str, body: Any = None) -> None:
        said.append(ada.call(method, path, body))

    call("POST", "/v1/llm/set_api_key", {"llm_factory": Z, "api_key": PLANTED})
    server.script(*(Reply(status=401, message=f"The key {PLANTED} is wrong") for _ in range(3)))
    call("POST", "/v1/llm/set_api_key", {"llm_factory": Z, "api_key": PLANTED})
    model = {"llm_factory": "Ollama", "llm_name": "m", "model_type": "chat", "api_base": server.url, "api_key": PLANTED}
    call("POST", "/v1/llm/add_llm", model)
    call("POST", "/v1/llm/add_llm", model)
    call("POST", "/v1/llm/add_llm", model | {"max_tokens": "many"})
    call("POST", "/v1/llm/set_api_key", {"llm_factory": Z, "api_key": f"{PLANTED}\n"})
    for path in ("my_llms?include_details=true", "list", "factories"):
        call("GET", f"/v1/llm/{path}")
    row = TenantModel.objects.filter(provider=Z, name="glm-4").get()
    found = language_models.remote_model(row)
    built = language_models.registry().chat_model(found)
    assert decrypt(row.encrypted_key) == PLANTED
    assert server.exchanges[0].headers["authorization"] == f"Bearer {PLANTED}"
    everywhere = (
        str(said) + dump() + everything_logged.text + repr([row, found, built, vars(language_models.registry())])
    )
    assert "is wrong" in everywhere
    assert PLANTED not in everywhere


def test_the_admin_pages_take_keys_and_never_show_them(db: None, server: ModelServer):
    operator = services.create_account(email="operator@example.org", password="x", is_operator=True)
    browser = Client()
    browser.force_login(operator)
    form = {
        "tenant": operator.pk, "provider": "Ollama", "name": "llama3", "type": "chat", "base_url": server.url,
        "api_key": PLANTED, "max_tokens": "8192", "is_enabled": "on",
    }  # fmt: skip
    page = "/admin/accounts/tenantmodel/"
    assert browser.post(f"{page}add/", form).status_code == 302
    row = TenantModel.objects.get()
    assert decrypt(row.encrypted_key) == PLANTED
    assert browser.post(f"{page}{row.pk}/change/", form | {"api_key": "", "max_tokens": "99"}).status_code == 302
    row.refresh_from_db()
    assert (decrypt(row.encrypted_key), row.max_tokens) == (PLANTED, 99)
    for place in (page, f"{page}add/", f"{page}{row.pk}/change/", f"{page}?q=llama"):
        shown = browser.get(place)
        assert shown.status_code == 200
        assert PLANTED not in shown.content.decode()
    asked = {"action": "ask", "_selected_action": [row.pk]}
    assert "The model llama3@Ollama answers." in browser.post(page, asked, follow=True).content.decode()
    server.script(Reply(status=500, message="It is asleep"))
    assert "It is asleep" in browser.post(page, asked, follow=True).content.decode()


def rotate() -> str:
    written = StringIO()
    call_command("rotate_keys", stdout=written)
    return written.getvalue()


def test_keys_survive_a_new_secret_key(ada: Web, settings: Any):
    settings.WIRE_PROFILE = "exact"  # which keeps copies of tokens
    tenant = Tenant.objects.get()
    secret = services.create_token(tenant=tenant).secret
    row = TenantModel.objects.create(
        tenant=tenant, provider=Z, name="glm-4", type="chat", encrypted_key=encrypt(PLANTED)
    )
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "the new secret key of this installation"
    assert decrypt(row.encrypted_key) == PLANTED
    assert rotate() == "2 secrets are encrypted under the current key.\n"
    settings.SECRET_KEY_FALLBACKS = []
    row.refresh_from_db()
    assert decrypt(row.encrypted_key) == PLANTED
    assert decrypt(APIToken.objects.get().encrypted_secret) == secret


def test_a_rotation_without_the_old_key_loses_nothing(ada: Web, settings: Any):
    row = TenantModel.objects.create(
        tenant=Tenant.objects.get(), provider=Z, name="glm-4", type="chat", encrypted_key=encrypt(PLANTED)
    )
    old, settings.SECRET_KEY = settings.SECRET_KEY, "the new secret key of this installation"
    with pytest.raises(CommandError, match=row.pk):
        rotate()
    settings.SECRET_KEY_FALLBACKS = [old]
    row.refresh_from_db()
    assert decrypt(row.encrypted_key) == PLANTED


def test_every_encrypted_column_is_rotated():
    assert {(model.__name__, field) for model, field in encrypted_columns()} >= {
        ("APIToken", "encrypted_secret"),
        ("ShareToken", "encrypted_secret"),
        ("TenantModel", "encrypted_key"),
        ("LangfuseKeys", "encrypted_secret_key"),
        ("MCPServer", "encrypted_headers"),
        ("MCPServer", "encrypted_variables"),
    }
