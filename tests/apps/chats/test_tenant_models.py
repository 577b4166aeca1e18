"""Chats with a model that the tenant has configured."""

from __future__ import annotations

from typing import Any

import pytest

from apps.accounts.models import TenantModel
from apps.core.crypto import encrypt
from tests.tools.model_server import ModelServer, Reply

pytestmark = pytest.mark.django_db(transaction=True)

QUESTION = "Who built the red bridge of Ulm?"
KEY = "the-tenants-own-key"


@pytest.fixture
def row(api: Any, provider: ModelServer) -> TenantModel:
    """The tenant's own key for the provider of the settings."""
    return TenantModel.objects.create(
        tenant=api.tenant, provider="OpenAI", name="scripted", type="chat", encrypted_key=encrypt(KEY)
    )


@pytest.fixture
def ask(asgi: Any, provider: ModelServer, chat: str, session: str) -> Any:
    def send() -> Any:
        body = {"question": QUESTION, "session_id": session, "stream": False}
        return asgi.ask(f"/api/v1/chats/{chat}/completions", body).json

    return send


def used(row: TenantModel) -> int:
    row.refresh_from_db()
    return row.used_tokens


def test_the_tenants_key_is_used_and_its_tokens_are_counted(asgi, ask, row, provider: ModelServer, chat: str):
    assert ask()["code"] == 0
    assert provider.exchanges[-1].headers["authorization"] == f"Bearer {KEY}"
    first = used(row)
    assert first > 0
    body = {"model": "any", "stream": False, "messages": [{"role": "user", "content": QUESTION}]}
    assert asgi.ask(f"/api/v1/chats_openai/{chat}/chat/completions", body).status == 200
    assert used(row) > first


def test_tokens_of_the_installations_models_are_nobodys(ask, row, other, provider: ModelServer):
    TenantModel.objects.filter(pk=row.pk).update(tenant=other.tenant)
    assert ask()["code"] == 0
    assert provider.exchanges[-1].headers["authorization"] == "Bearer key"
    assert used(row) == 0


def test_a_disabled_model_is_refused(ask, row, profile: str):
    TenantModel.objects.filter(pk=row.pk).update(is_enabled=False)
    answer = ask()
    text = "Model(scripted@OpenAI) not authorized"
    assert (answer["code"], answer["message"]) == (100, text if profile == "standard" else f"LookupError('{text}')")


def test_a_refused_key_is_answered_with_where_keys_are_set(ask, provider: ModelServer):
    provider.script(Reply(status=401, message="Invalid API key"), Reply(status=401, message="The account is closed"))
    hint = " Please set LLM API-Key in 'User Setting -> Model providers -> API-Key'"
    assert ask()["data"]["answer"].endswith(f"Invalid API key.{hint}")
    assert hint not in ask()["data"]["answer"]


@pytest.mark.parametrize(
    ("name", "model_type", "accepted"),
    [
        ("glm-4", None, True),
        ("glm-4@ZHIPU-AI", "chat", True),
        ("glm-4v@ZHIPU-AI", "image2text", True),
        ("glm-4v@ZHIPU-AI", None, False),
        ("glm-4", "image2text", False),
        ("glm-4@OpenAI", None, False),
        ("unknown", None, False),
    ],
)
def test_which_models_an_assistant_may_name(api, name: str, model_type: str | None, accepted: bool, profile: str):
    for model, type_ in (("glm-4", "chat"), ("glm-4v", "image2text")):
        TenantModel.objects.create(
            tenant=api.tenant, provider="ZHIPU-AI", name=model, type=type_, encrypted_key=encrypt(KEY)
        )
    llm = {"model_name": name} | ({"model_type": model_type} if model_type else {})
    answer = api.call("POST", "/api/v1/chats", {"name": "n", "llm": llm})
    if accepted:
        assert answer["data"]["llm"]["model_name"] == name
    else:
        assert (answer["code"], answer["message"]) == (102, f"`model_name` {name} doesn't exist")
