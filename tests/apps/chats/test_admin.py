"""The pages where operators look at chats."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.accounts.services import create_account
from apps.chats.models import SearchApp, Session
from apps.chats.services import Exchange, record_exchange

pytestmark = pytest.mark.django_db


@pytest.fixture
def operator(client):
    client.force_login(create_account(email="operator@example.org", is_operator=True))
    return client


def test_assistants_are_listed_and_shown(operator, chat):
    assert b"assistant" in operator.get("/admin/chats/assistant/").content
    page = operator.get(f"/admin/chats/assistant/{chat}/change/")
    assert b"empty_response: " in page.content


def test_search_apps_are_listed_and_shown(operator, tenant):
    app = SearchApp.objects.create(tenant=tenant, name="shop")
    assert b"shop" in operator.get("/admin/chats/searchapp/?q=sho").content
    assert b"similarity_threshold" in operator.get(f"/admin/chats/searchapp/{app.pk}/change/").content
    assert operator.get("/admin/chats/searchapp/add/").status_code == 403


def test_what_an_operator_saves_leaves_a_chat_that_works(operator, api, chat):
    """The page neither takes objects of another shape, nor numbers without a meaning."""
    form = {"name": "support", "chat_model": "extractive@Builtin", "top_n": 3, "top_k": 64, "language": "English"}
    form |= {"similarity_threshold": 0.1, "vector_similarity_weight": 0.5, "stored_prompt": "[]"}
    form |= {"generation_options": "[1]", "metadata_filter": "[1]"}
    inline = {f"dataset_links-{key}_FORMS": "0" for key in ("TOTAL", "INITIAL")}
    path = f"/admin/chats/assistant/{chat}/change/"
    for wrong in ({"top_n": 0}, {"similarity_threshold": 7}, {"vector_similarity_weight": -1}):
        refused = operator.post(path, form | inline | wrong)
        assert list(refused.context["adminform"].form.errors) == list(wrong)
    saved = operator.post(path, form | inline)
    assert saved.status_code == 302, saved.context["errors"]
    (shown,) = api.call("GET", f"/api/v1/chats?id={chat}")["data"]
    assert (shown["name"], shown["prompt"]["top_n"]) == ("support", 3)
    assert shown["prompt"]["prompt"]


def test_a_list_of_assistants_costs_the_same_queries_for_any_number(operator, create_chat):
    def queries():
        with CaptureQueriesContext(connection) as captured:
            assert operator.get("/admin/chats/assistant/").status_code == 200
        return len(captured)

    create_chat("one")
    queries()
    few = queries()
    for number in range(5):
        create_chat(f"more {number}")
    assert queries() == few


def test_conversations_can_be_read_but_not_edited(operator, session):
    import uuid

    record_exchange(exchange=Exchange(session, uuid.uuid4(), "What?", "That <b>thing</b>."))
    page = operator.get(f"/admin/chats/session/{session}/change/").content
    assert b"What?" in page
    assert b"That &lt;b&gt;thing" in page
    operator.post(f"/admin/chats/session/{session}/change/", {"name": "forged"})
    assert Session.objects.get(pk=session).name == "New session"
    assert operator.get("/admin/chats/session/add/").status_code == 403
