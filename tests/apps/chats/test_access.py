"""What narrowed and limited API tokens reach."""

from __future__ import annotations

from dataclasses import replace

import pytest

from apps.accounts import services as accounts
from apps.chats import selectors
from apps.core.principal import Scope

from .conftest import ASGI

pytestmark = pytest.mark.django_db(transaction=True)

ASKED = {"model": "any", "messages": [{"role": "user", "content": "bridge"}], "stream": False}


@pytest.fixture
def client_with(tenant):
    """Return a function that makes a client whose token is limited."""

    def make(**limits):
        return ASGI(accounts.create_token(tenant=tenant, **limits).secret)

    return make


def test_a_narrowed_token_reaches_the_assistants_it_names(principal, chat, create_chat, session, new_session):
    second = create_chat("second")["id"]
    narrowed = replace(principal, assistant_ids=frozenset({second}))
    assert [assistant.pk for assistant in selectors.assistants_of(narrowed)] == [second]
    assert selectors.assistant_of(narrowed, chat) is None
    assert selectors.session_under(narrowed, chat, session) is None
    assert selectors.session_under(narrowed, second, new_session(second)) is not None


def test_other_assistants_do_not_exist_for_it(client_with, chat, create_chat, session):
    client = client_with(assistant_ids=[create_chat("second")["id"]])
    listed = client.ask("/api/v1/chats", b"", method="GET").json["data"]
    assert [item["name"] for item in listed] == ["second"]
    own = client.ask(f"/api/v1/chats/{chat}/completions", {"session_id": session, "question": "x"})
    openai = client.ask(f"/api/v1/chats_openai/{chat}/chat/completions", ASKED)
    assert own.json["message"] == openai.json["message"] == f"You don't own the chat {chat}"


def test_chatting_needs_its_scope(client_with, chat, session):
    client = client_with(scopes=[Scope.READ])
    assert client.ask("/api/v1/chats", b"", method="GET").status == 200
    own = client.ask(f"/api/v1/chats/{chat}/completions", {"session_id": session, "question": "x"})
    openai = client.ask(f"/api/v1/chats_openai/{chat}/chat/completions", ASKED)
    assert own.status == openai.status == 403
    assert openai.json["error"]["type"] == "permission_error"


def test_a_rate_limit_is_told_in_openais_form(client_with, chat):
    client = client_with(requests_per_minute=1)
    path = f"/api/v1/chats_openai/{chat}/chat/completions"
    assert client.ask(path, ASKED).status == 200
    refused = client.ask(path, ASKED)
    assert refused.status == 429
    assert refused.json["error"]["type"] == "rate_limit_error"
    assert int(refused.headers["retry-after"]) > 0
