"""The calls with which the contract's clients begin, against an empty database."""

from __future__ import annotations

from apps.accounts.models import APIToken, User
from tests.apps.accounts.conftest import Web, encrypted

ACCOUNT = {"email": "qa@infiniflow.org", "nickname": "qa"}
MODELS = {
    "llm_id": "glm-4-flash@ZHIPU-AI",
    "embd_id": "BAAI/bge-small-en-v1.5@Builtin",
    "img2txt_id": "",
    "asr_id": "",
    "tts_id": None,
}


def test_a_client_comes_from_nothing_to_an_api_token(anonymous: Web, profile: str, settings):
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
    assert User.objects.count() == APIToken.objects.count() == 1
