"""The calls with which the contract's clients begin, against an empty database."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from apps.accounts.models import APIToken, User
from apps.accounts.services.accounts import ensure_administrator
from apps.core.errors import Conflict
from tests.apps.accounts.conftest import Web, encrypted
from tests.tools.model_server import ModelServer

ACCOUNT = {"email": "qa@infiniflow.org", "nickname": "qa"}
MODELS = {
    "llm_id": "glm-4-flash@ZHIPU-AI",
    "embd_id": "BAAI/bge-small-en-v1.5@Builtin",
    "img2txt_id": "",
    "asr_id": "",
    "tts_id": None,
}


@pytest.fixture
def provider(engine: None) -> Iterator[ModelServer]:
    with ModelServer() as server:
        yield server


@pytest.mark.django_db(transaction=True)
def test_a_client_comes_from_nothing_to_an_api_token(anonymous: Web, profile: str, settings, provider: ModelServer):
    settings.REGISTRATION_OPEN = True
    assert anonymous.get("/v1/system/ping").content == b"pong"
    assert anonymous.call("GET", "/v1/system/config")["data"] == {"registerEnabled": 1}

    pem = anonymous.call("GET", "/v1/system/public_key")["data"]["public_key"]
    password = encrypted("123", pem)
    assert "\n" in password
    registered = anonymous.call("POST", "/v1/user/register", ACCOUNT | {"password": password})
    assert (registered["code"], registered["message"]) == (0, "qa, welcome aboard!")
    again = anonymous.call("POST", "/v1/user/register", ACCOUNT | {"password": password})
    assert again["code"] != 0
    assert "has already registered" in again["message"]

    logged_in = anonymous.call("POST", "/v1/user/login", {"email": ACCOUNT["email"], "password": password})
    assert (logged_in["code"], logged_in["message"]) == (0, "Welcome back!")
    token = logged_in["headers"]["Authorization"]
    assert not set(token) & set(" \t\r\n")
    person = Web(token)

    settings.PROVIDER_URLS = {"ZHIPU-AI": provider.url}
    assert person.call("GET", "/v1/llm/my_llms")["data"] == {}
    key = {"llm_factory": "ZHIPU-AI", "api_key": "key of the environment"}
    assert person.call("POST", "/v1/llm/set_api_key", key)["code"] == 0
    assert "ZHIPU-AI" in person.call("GET", "/v1/llm/my_llms")["data"]

    tenant = person.call("GET", "/v1/user/tenant_info")["data"]
    assert tenant["tenant_id"] == logged_in["data"]["id"]
    assert tenant["role"] == "owner"
    assert tenant["name"] == "qa‘s Kingdom"
    chosen = person.call("POST", "/v1/user/set_tenant_info", MODELS | {"tenant_id": tenant["tenant_id"]})
    assert (chosen["code"], chosen["data"]) == (0, True)
    assert person.call("GET", "/v1/user/tenant_info")["data"].items() >= MODELS.items()

    answer = person.send("POST", "/v1/system/new_token", b"", content_type="").json()
    assert answer["code"] == 0
    bearer = Web(f"Bearer {answer['data']['token']}")
    assert bearer.call("GET", "/api/v1/datasets")["code"] == 0
    assert bearer.call("GET", "/v1/user/info")["data"]["email"] == ACCOUNT["email"]
    assert person.call("GET", "/v1/user/info")["data"]["email"] == ACCOUNT["email"]

    created = bearer.call("POST", "/api/v1/datasets", {"name": "first"})
    assert created["data"]["embedding_model"] == MODELS["embd_id"]
    named = bearer.call("POST", "/api/v1/datasets", {"name": "second", "embedding_model": "embedding-3@ZHIPU-AI"})
    assert named["code"] == 0
    chat = bearer.call("POST", "/api/v1/chats", {"name": "chat"})["data"]
    assert chat["llm"]["model_name"] == MODELS["llm_id"]
    session = bearer.call("POST", f"/api/v1/chats/{chat['id']}/sessions", {"name": "s"})["data"]["id"]
    provider.reset()
    body = {"question": "Who is there?", "session_id": session, "stream": False}
    assert bearer.call("POST", f"/api/v1/chats/{chat['id']}/completions", body)["code"] == 0
    assert provider.exchanges[0].body["model"] == "glm-4-flash"
    assert provider.exchanges[0].headers["authorization"] == "Bearer key of the environment"
    assert User.objects.count() == APIToken.objects.count() == 1


class TestAdministrator:
    def test_is_made_once_as_the_environment_says(self, db: None, settings):
        settings.DEFAULT_SUPERUSER_EMAIL, settings.DEFAULT_SUPERUSER_PASSWORD = "admin@ragflow.io", "admin"
        made = ensure_administrator()
        assert made is not None
        assert ensure_administrator() is None
        user = User.objects.get()
        assert user == made.user
        assert user.is_superuser
        assert user.check_encoded_password("YWRtaW4=")

    def test_no_password_is_well_known(self, db: None):
        made = ensure_administrator()
        assert made is not None
        assert len(made.password) >= 16
        assert not made.user.check_password("admin")
        assert made.user.check_password(made.password)

    def test_deactivated_ones_are_not_replaced(self, db: None):
        ensure_administrator()
        User.objects.update(is_active=False)
        with pytest.raises(Conflict, match="No administrator is active"):
            ensure_administrator()
        assert User.objects.count() == 1
