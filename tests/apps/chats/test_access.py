"""What narrowed and limited API tokens reach."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from importlib import import_module

import pytest
from django.apps import apps

from apps.accounts import services as accounts
from apps.chats import selectors
from apps.chats.models import Assistant, AssistantDataset, Message, SearchApp, Session, SessionSource
from apps.core.principal import Scope
from tests.apps.conftest import API
from tests.tools.model_server import Reply

from .conftest import ASGI, BRIDGE, LIGHTHOUSE, page_of

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


# -- limited to datasets: nothing that was made from others exists either --------------------------------------------

QUOTED = "1911"  # of the lighthouse, which is in the other dataset


@pytest.fixture
def named(api, fill):
    """The dataset that limited tokens name."""
    return fill(api, BRIDGE, name="named", document="bridge.txt")


@pytest.fixture
def foreign(api, fill):
    return fill(api, LIGHTHOUSE, name="foreign", document="lighthouse.txt")


@pytest.fixture
def limited(client_with, named):
    return client_with(dataset_ids=[named])


@pytest.fixture
def ask(asgi):
    """Return a function that asks an assistant with the owner's token, and returns the session."""

    def send(chat, question, **body):
        path = f"/api/v1/chats/{chat}/completions"
        session = asgi.ask(path, {"stream": False}).json["data"]["session_id"]
        answer = asgi.ask(path, {"question": question, "session_id": session, "stream": False, **body}).json
        assert answer["code"] == 0, answer
        return session

    return send


def sessions_seen(client, chat):
    listed = client.ask(f"/api/v1/chats/{chat}/sessions", b"", method="GET")
    assert QUOTED not in listed.body.decode()
    return {session["id"] for session in listed.json["data"]}


def test_it_reaches_assistants_without_other_datasets(limited, create_chat, named, foreign):
    reached = [create_chat("of named", dataset_ids=[named])["id"], create_chat("of none")["id"]]
    hidden = [create_chat("of both", dataset_ids=[named, foreign])["id"], create_chat("f", dataset_ids=[foreign])["id"]]
    for path, key in [("/api/v1/chats", "id"), ("/v1/dialog/list", "id"), ("/api/v1/openai/models", "id")]:
        listed = limited.ask(path, b"", method="GET").json["data"]
        assert {item[key] for item in listed} == set(reached), path
    paged = limited.ask("/v1/dialog/next", {}).json["data"]
    assert ({item["id"] for item in paged["dialogs"]}, paged["total"]) == (set(reached), len(reached))
    for chat in (*reached, *hidden):
        for method, path, body in [
            ("GET", f"/api/v1/chats?id={chat}", None),
            ("PUT", f"/api/v1/chats/{chat}", {"description": "x"}),
            ("GET", f"/api/v1/chats/{chat}/sessions", None),
            ("POST", f"/api/v1/chats/{chat}/sessions", {}),
            ("POST", f"/api/v1/chats/{chat}/completions", {"question": "bridge", "stream": False}),
            ("POST", f"/api/v1/chats_openai/{chat}/chat/completions", ASKED),
            ("POST", f"/api/v1/openai/{chat}/chat/completions", ASKED),
            ("POST", "/api/v1/openai/chat/completions", {**ASKED, "model": chat}),
            ("POST", "/api/v1/chat/completions", {**ASKED, "model": chat}),
            ("GET", f"/api/v1/openai/models/{chat}", None),
            ("GET", f"/v1/dialog/get?dialog_id={chat}", None),
            ("POST", "/v1/dialog/set", {"dialog_id": chat, "prompt_config": {"system": "x"}}),
        ]:
            reply = limited.ask(path, b"" if body is None else body, method=method)
            was_served = reply.status == 200 and reply.json.get("code", 0) == 0
            assert was_served is (chat in reached), (method, path, reply.body)
    assert Assistant.objects.filter(pk__in=hidden, description="x").count() == 0


def test_an_assistant_that_names_a_deleted_dataset_is_out_of_reach_until_that_is_gone(
    api, limited, create_chat, named, foreign, purge_deleted
):
    chat = create_chat(dataset_ids=[named, foreign])["id"]
    api.call("DELETE", "/api/v1/datasets", {"ids": [foreign]})
    assert limited.ask("/api/v1/chats", b"", method="GET").json["data"] == []
    purge_deleted()
    assert [item["id"] for item in limited.ask("/api/v1/chats", b"", method="GET").json["data"]] == [chat]


@pytest.mark.parametrize("quote", [True, False])
def test_a_session_with_an_answer_from_elsewhere_does_not_exist(api, limited, create_chat, ask, named, foreign, quote):
    chat = create_chat(dataset_ids=[named])["id"]
    plain = ask(chat, "Who built the red bridge?")
    mixed = ask(chat, "Since when is the lighthouse white?", kb_ids=[foreign], quote=quote)
    assert QUOTED in str(api.call("GET", f"/api/v1/chats/{chat}/sessions?id={mixed}"))
    assert sessions_seen(limited, chat) == {plain}
    one = limited.ask(f"/api/v1/chats/{chat}/sessions?id={mixed}", b"", method="GET")
    assert one.json["data"] == []
    path = f"/api/v1/chats/{chat}/completions"
    further = limited.ask(path, {"question": "Repeat that.", "session_id": mixed, "stream": False})
    assert further.json["message"] == f"You don't own the session {mixed}"
    renamed = limited.ask(f"/api/v1/chats/{chat}/sessions/{mixed}", {"name": "x"}, method="PUT")
    assert renamed.json["message"] == "Session does not exist"
    one = limited.ask(f"/api/v1/chats/{chat}/sessions", {"ids": [mixed]}, method="DELETE")
    assert one.json["message"] == f"The chat doesn't own the session {mixed}"
    assert limited.ask(f"/api/v1/chats/{chat}/sessions", {}, method="DELETE").json["code"] == 0  # all that it sees
    assert list(Session.objects.values_list("pk", flat=True)) == [mixed]


def test_sessions_from_before_the_assistant_got_other_datasets(api, limited, create_chat, ask, named, foreign):
    chat = create_chat(dataset_ids=[foreign])["id"]
    before = ask(chat, "Since when is the lighthouse white?")
    assert api.call("PUT", f"/api/v1/chats/{chat}", {"dataset_ids": [named]})["code"] == 0
    after = ask(chat, "Who built the red bridge?")
    assert sessions_seen(limited, chat) == {after}
    asked = {"question": "And the lighthouse?", "session_id": before, "stream": False}
    assert limited.ask(f"/api/v1/chats/{chat}/completions", asked).json["code"] != 0


def test_a_deleted_dataset_is_no_less_foreign(api, limited, create_chat, ask, named, foreign, purge_deleted):
    chat = create_chat(dataset_ids=[named])["id"]
    ask(chat, "Since when is the lighthouse white?", kb_ids=[foreign])
    api.call("DELETE", "/api/v1/datasets", {"ids": [foreign]})
    purge_deleted()
    assert sessions_seen(limited, chat) == set()


def test_it_sees_the_sessions_that_it_holds(limited, create_chat, named):
    chat = create_chat(dataset_ids=[named])["id"]
    path = f"/api/v1/chats/{chat}/completions"
    session = limited.ask(path, {"stream": False}).json["data"]["session_id"]
    for _ in range(2):  # the second answer draws on the same dataset
        asked = {"question": "Who built the red bridge?", "session_id": session, "stream": False}
        assert "1903" in limited.ask(path, asked).json["data"]["answer"]
    assert sessions_seen(limited, chat) == {session}
    assert list(SessionSource.objects.values_list("dataset_id", flat=True)) == [named]


async def test_what_an_interrupted_answer_is_from_is_known_too(asgi, create_chat, new_session, foreign, provider):
    chat = (await asyncio.to_thread(create_chat, dataset_ids=[foreign], prompt={"refine_multiturn": False}))["id"]
    session = await asyncio.to_thread(new_session, chat)
    provider.script(Reply(text="Since 1911 it", interval=0.02, hang_after=1))
    asked = {"question": "Since when is the lighthouse white?", "session_id": session}
    async with asgi.calling(f"/api/v1/chats/{chat}/completions", asked) as call:
        await call.begin()
        async with asyncio.timeout(10):
            while b"Since" not in call.reply.body:
                await call.more()
    sources = await asyncio.to_thread(lambda: list(SessionSource.objects.values_list("dataset_id", flat=True)))
    assert sources == [foreign]


def test_pages_with_such_a_token_continue_no_such_session(api, create_chat, ask, named, foreign):
    chat = create_chat(dataset_ids=[named])["id"]
    mixed = ask(chat, "Since when is the lighthouse white?", kb_ids=[foreign])
    asked = {"question": "Repeat that.", "session_id": mixed, "stream": False}
    path = f"/api/v1/chatbots/{chat}/completions"
    assert page_of(api, dataset_ids=[named]).ask(path, asked).json["message"].find("Session not found!") >= 0
    assert page_of(api).ask(path, asked).json["code"] == 0


def test_statistics_count_what_it_sees(api, client_with, create_chat, named, foreign):
    chat = create_chat(dataset_ids=[named])["id"]
    page = page_of(api)
    path = f"/api/v1/chatbots/{chat}/completions"
    for further in ([], [foreign]):
        session = page.ask(path, {"question": "x", "stream": False}).json["data"]["session_id"]
        asked = {"question": "lighthouse", "session_id": session, "stream": False, "kb_ids": further}
        assert page.ask(path, asked).json["code"] == 0
    pv = [
        client.ask("/v1/api/stats", b"", method="GET").json["data"]["pv"]
        for client in (client_with(), client_with(dataset_ids=[named]))
    ]
    assert [sum(count for _, count in days) for days in pv] == [2, 1]


def test_conversations_of_earlier_versions_are_from_anywhere(limited, create_chat, new_session, named):
    chat = create_chat(dataset_ids=[named])["id"]
    empty, asked = new_session(chat), new_session(chat)
    Message.objects.create(session_id=asked, role=Message.Role.USER, content="Since when?")
    Message.objects.create(session_id=asked, role=Message.Role.ASSISTANT, content=f"Since {QUOTED}.")
    migration = import_module("apps.chats.migrations.0005_session_sources")
    migration.draw_on_the_unknown(apps, None)
    assert sessions_seen(limited, chat) == {empty}


# -- limited to assistants: datasets are reached through them only ---------------------------------------------------


def test_it_reaches_no_dataset_by_name(client_with, create_chat, named, foreign):
    chat = create_chat(dataset_ids=[named])["id"]
    client = client_with(assistant_ids=[chat])
    assert client.ask("/api/v1/datasets", b"", method="GET").json["data"] == []
    for path, body in [
        ("/api/v1/retrieval", {"question": "bridge", "dataset_ids": [named]}),
        ("/api/v1/dify/retrieval", {"query": "bridge", "knowledge_id": named}),
        ("/v1/chunk/retrieval_test", {"question": "bridge", "kb_id": [named]}),
        ("/api/v1/sessions/ask", {"question": "bridge", "dataset_ids": [named]}),
        (f"/api/v1/datasets/{named}/chunks", {"document_ids": ["x"]}),
    ]:
        reply = client.ask(path, body)
        assert reply.json.get("code") != 0 or reply.status >= 400, path
        assert "1903" not in reply.body.decode()
    session = client.ask(f"/api/v1/chats/{chat}/completions", {"stream": False}).json["data"]["session_id"]
    asked = {"question": "Who built the red bridge?", "session_id": session, "stream": False}
    assert "1903" in client.ask(f"/api/v1/chats/{chat}/completions", asked).json["data"]["answer"]


def test_it_gives_its_assistants_no_other_dataset(client_with, create_chat, named, foreign):
    chat = create_chat(dataset_ids=[named])["id"]
    client = client_with(assistant_ids=[chat])

    def datasets():
        return list(AssistantDataset.objects.filter(assistant=chat).values_list("dataset", flat=True))

    assert client.ask(f"/api/v1/chats/{chat}", {"dataset_ids": [named], "description": "x"}, "PUT").json["code"] == 0
    refused = client.ask(f"/api/v1/chats/{chat}", {"dataset_ids": [named, foreign]}, "PUT")
    assert refused.json["message"] == f"You don't own the dataset {foreign}"
    changes = {"dialog_id": chat, "kb_ids": [foreign, named], "prompt_config": {"system": "x"}}
    assert client.ask("/v1/dialog/set", changes).json["data"]["kb_ids"] == [named]
    assert datasets() == [named]


# -- search apps -----------------------------------------------------------------------------------------------------


@pytest.fixture
def search_apps(tenant, named, foreign):
    """The ids of search apps by what they search."""
    searched = {"named": [named], "both": [named, foreign], "nothing": []}
    return {
        name: SearchApp.objects.create(tenant=tenant, name=name, search_config={"kb_ids": ids}).pk
        for name, ids in searched.items()
    }


@pytest.mark.parametrize(
    ("limit", "reached"), [("dataset_ids", {"named", "nothing"}), ("assistant_ids", set()), ("no datasets", set())]
)
def test_search_apps_over_other_datasets_do_not_exist(
    client_with, create_chat, search_apps, tenant, named, limit, reached
):
    limits = {"dataset_ids": [named], "assistant_ids": [create_chat()["id"]]}
    client = client_with(dataset_ids=[]) if limit == "no datasets" else client_with(**{limit: limits[limit]})
    listed = client.ask("/v1/search/list", {}).json["data"]
    assert {app["name"] for app in listed["search_apps"]} == reached
    assert listed["total"] == len(reached)
    for name, search_id in search_apps.items():
        may = name in reached
        shown = client.ask(f"/v1/search/detail?search_id={search_id}", b"", method="GET")
        assert (shown.json["code"] == 0) is may
        changes = {"search_id": search_id, "name": name, "search_config": {}, "tenant_id": tenant.pk}
        assert (client.ask("/v1/search/update", changes).json["code"] == 0) is may
        assert (client.ask("/v1/search/rm", {"search_id": search_id}).json["code"] == 0) is may
    assert set(SearchApp.objects.values_list("name", flat=True)) == set(search_apps) - reached


def test_pages_show_no_search_app_beyond_their_limit(api, search_apps, named):
    page = API(page_of(api, dataset_ids=[named]).token)
    for name, search_id in search_apps.items():
        shown = page.call("GET", f"/api/v1/searchbots/detail?search_id={search_id}")
        assert (shown["code"] == 0) is (name != "both")


def test_a_limited_token_names_no_other_dataset_in_a_search_app(limited, search_apps, tenant, foreign, named):
    config = {"kb_ids": [named, foreign]}
    made = limited.ask("/v1/search/create", {"name": "new", "search_config": config})
    changes = {"search_id": search_apps["named"], "name": "x", "search_config": config, "tenant_id": tenant.pk}
    changed = limited.ask("/v1/search/update", changes)
    assert made.json["message"] == changed.json["message"] == f"You don't own the dataset {foreign}."
    assert SearchApp.objects.count() == len(search_apps)


def test_a_name_that_a_limited_token_cannot_see_is_numbered_too(limited, search_apps):
    assert limited.ask("/v1/search/create", {"name": "both"}).json["code"] == 0
    assert SearchApp.objects.filter(name="both(1)").exists()
