"""What web pages embed: chatbots and searchbots, with share tokens."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from apps.accounts import services as accounts
from apps.accounts.models import Membership
from apps.accounts.services.tokens import create_share_token
from apps.chats.models import SearchApp
from apps.chats.streams.pages import router
from apps.chats.urls import urlpatterns
from tests.apps.conftest import API
from tests.tools.model_server import Reply

from .conftest import ASGI, BRIDGE, page_of, token_of
from .test_asks import FAULTS

pytestmark = pytest.mark.django_db(transaction=True)

QUESTION = "Who built the red bridge of Ulm?"
END = {"code": 0, "message": "", "data": True}
SEARCH = "/api/v1/searchbots"

# Each endpoint with a body that is complete.
ENDPOINTS: dict[tuple[str, str], Any] = {
    ("POST", "/api/v1/chatbots/{chat_id}/completions"): {"question": QUESTION, "session_id": "{session}"},
    ("GET", "/api/v1/chatbots/{chat_id}/info"): None,
    ("POST", f"{SEARCH}/ask"): {"question": QUESTION, "kb_ids": ["{dataset}"]},
    ("POST", f"{SEARCH}/retrieval_test"): {"question": QUESTION, "kb_id": ["{dataset}"]},
    ("POST", f"{SEARCH}/related_questions"): {"question": QUESTION, "search_id": "{search}"},
    ("POST", f"{SEARCH}/mindmap"): {"question": QUESTION, "kb_ids": ["{dataset}"]},
    ("GET", f"{SEARCH}/detail"): None,
}


@pytest.fixture
def search(tenant, dataset):
    """The id of a search app over `dataset`."""
    return SearchApp.objects.create(tenant=tenant, name="shop", search_config={"kb_ids": [dataset]}).pk


@pytest.fixture
def names(chat, session, dataset, search):
    return {"chat_id": chat, "session": session, "dataset": dataset, "search": search}


def filled_in(value, names):
    if isinstance(value, str):
        return value.format(**names)
    if isinstance(value, list):
        return [filled_in(item, names) for item in value]
    return {key: filled_in(item, names) for key, item in value.items()} if isinstance(value, dict) else value


def send(client: ASGI, endpoint, names):
    """Call an endpoint and return the answer, or the first frame of it."""
    method, path = endpoint
    path = filled_in(path, names)
    if method == "GET":
        return API(client.token).call("GET", f"{path}?search_id={names['search']}")
    reply = client.ask(path, filled_in(ENDPOINTS[endpoint], names))
    return {**(reply.frames[0] if reply.is_stream else reply.json), "status": reply.status}


def text_of(frames):
    return "".join(frame["data"]["answer"] for frame in frames if isinstance(frame["data"], dict))


def test_every_endpoint_is_listed():
    streaming = {
        (method, path)
        for path, view in router.path_operations.items()
        for operation in view.operations
        for method in operation.methods
    }
    ordinary = {
        (method.upper(), "/" + str(pattern.pattern).replace("<str:", "{").replace(">", "}"))
        for pattern in urlpatterns
        for method in pattern.callback.actions
        if "bots/" in str(pattern.pattern) and method != "head"
    }
    assert streaming | ordinary == set(ENDPOINTS)


# -- who may -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=" ".join)
def test_a_page_of_the_tenant_may(page, names, endpoint):
    assert send(page, endpoint, names)["code"] == 0


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=" ".join)
def test_nothing_else_is_a_share_token(api, names, endpoint, profile):
    standard = profile == "standard"
    for token in (token_of(api), "unknown", "x" * 32):
        answer = send(ASGI(token), endpoint, names)
        message = "Authentication error: API key is invalid!"
        assert answer["message"] == (message if standard else f'{message}"')
        assert (answer["code"], answer["status"]) == ((102, 401) if standard else (102, 200))
    missing = send(ASGI(None), endpoint, names)
    assert (missing["code"], missing["status"]) == ((102, 401) if standard else (100, 200))
    assert standard or missing["message"].startswith("AttributeError(")


def test_a_share_token_is_no_api_token(page, dataset, chat, session):
    client = API(page.token)
    for method, path, body in [
        ("GET", "/api/v1/datasets", None),
        ("POST", "/api/v1/datasets", {"name": "x"}),
        ("GET", "/api/v1/chats", None),
        ("POST", "/api/v1/retrieval", {"dataset_ids": [dataset], "question": "x"}),
    ]:
        assert client.call(method, path, body)["code"] == 109
    assert client.call("POST", "/v1/search/list")["code"] == 401
    for path, body in [
        (f"/api/v1/chats/{chat}/completions", {"question": "x", "session_id": session}),
        ("/api/v1/sessions/ask", {"question": "x", "dataset_ids": [dataset]}),
        ("/api/v1/sessions/related_questions", {"question": "x"}),
        ("/api/v1/openai/chat/completions", {"model": chat, "messages": []}),
        ("/api/v1/openai/embeddings", {"model": "x", "input": "x"}),
        ("/api/v1/tts", {"text": "x"}),
        ("/api/v1/sequence2txt", {}),
    ]:
        assert page.ask(path, body).json["code"] == 109, path


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=" ".join)
def test_other_tenants_find_what_does_not_exist(foreign_page, names, endpoint, profile):
    answer = send(foreign_page, endpoint, names)
    unknown = send(foreign_page, endpoint, dict.fromkeys(names, "0" * 32))
    assert answer["code"] != 0
    assert BRIDGE not in str(answer)

    def told(answer, ids):
        text = str(answer)
        for id_ in ids:
            text = text.replace(id_, "ID")
        return text

    assert told(answer, names.values()) == told(unknown, ["0" * 32])


def test_foreign_ids_beside_own_ones(page, foreign_page, other, fill, dataset, search, chat, session):
    foreign = fill(other, "The secret of the red bridge.", name="foreign")
    app = SearchApp.objects.create(tenant=other.tenant, name="theirs", search_config={"kb_ids": [foreign]}).pk
    crossed = SearchApp.objects.create(tenant=page_tenant(search), name="crossed", search_config={"kb_ids": [foreign]})
    asked = {"question": QUESTION, "kb_ids": [dataset]}
    for path, body in [
        (f"{SEARCH}/ask", asked | {"kb_ids": [dataset, foreign]}),
        (f"{SEARCH}/ask", asked | {"search_id": app}),
        (f"{SEARCH}/ask", asked | {"search_id": crossed.pk}),
        (f"{SEARCH}/mindmap", asked | {"kb_ids": [foreign]}),
        (f"{SEARCH}/mindmap", asked | {"search_id": app}),
        (f"{SEARCH}/retrieval_test", {"question": QUESTION, "kb_id": [dataset, foreign]}),
        (f"{SEARCH}/retrieval_test", {"question": QUESTION, "kb_id": dataset, "search_id": app}),
        (f"{SEARCH}/related_questions", {"question": QUESTION, "search_id": app}),
        (f"/api/v1/chatbots/{chat}/completions", {"question": QUESTION, "session_id": session, "kb_ids": [foreign]}),
    ]:
        reply = page.ask(path, body)
        answer = reply.frames[0] if reply.is_stream else reply.json
        assert answer["code"] != 0, path
        assert "secret" not in str(answer)
    theirs = {"question": QUESTION, "kb_ids": [foreign]}
    assert "secret" in text_of(foreign_page.ask(f"{SEARCH}/ask", theirs).frames)


def test_requests_of_a_page_do_not_reach_the_datasets_of_a_team(page, tenant, other, fill, chat, dataset):
    shared = fill(other, "The secret of the red bridge.", name="shared")
    Membership.objects.create(tenant_id=other.tenant.pk, user_id=tenant.pk, role="viewer")
    app = SearchApp.objects.create(tenant=tenant, name="team", search_config={"kb_ids": [shared]}).pk
    named = page.ask(f"{SEARCH}/ask", {"question": QUESTION, "kb_ids": [shared]}).frames
    assert named[0]["message"] == f"You don't own the dataset {shared}."
    assert page.ask(f"{SEARCH}/retrieval_test", {"question": QUESTION, "kb_id": shared}).json["code"] == 103
    body = {"question": QUESTION, "kb_ids": [shared]}
    assert page.ask(f"/api/v1/chatbots/{chat}/completions", body).json["message"].endswith(shared)
    chosen = page.ask(f"{SEARCH}/ask", {"question": QUESTION, "kb_ids": [], "search_id": app}).frames
    assert "secret" in text_of(chosen)  # its owner put it on the page


def page_tenant(search):
    return SearchApp.objects.get(pk=search).tenant


def test_a_share_token_has_the_limits_of_its_api_token(api, names, chat, dataset):
    for limits in ({"assistant_ids": []}, {"dataset_ids": [], "assistant_ids": []}):
        narrowed = page_of(api, **limits)
        assert narrowed.ask(f"/api/v1/chatbots/{chat}/completions", {"question": "x"}).json["code"] != 0
        frames = narrowed.ask(f"{SEARCH}/ask", {"question": QUESTION, "kb_ids": [dataset]}).frames
        assert frames[0]["message"] == f"You don't own the dataset {dataset}."
    unable = page_of(api, scopes=["read"])
    assert {send(unable, endpoint, names)["code"] for endpoint in ENDPOINTS} == {108}
    slow = page_of(api, requests_per_minute=1)
    assert [send(slow, ("GET", f"{SEARCH}/detail"), names)["code"] for _ in range(2)] == [0, 429]


def test_revoking_the_api_token_ends_its_pages(api, chat, search):
    token = accounts.create_token(tenant=api.tenant)
    page = ASGI(create_share_token(tenant=api.tenant, api_token=token.token).secret)
    assert API(page.token).call("GET", f"/api/v1/chatbots/{chat}/info")["code"] == 0
    accounts.revoke_token(token=token.token)
    assert API(page.token).call("GET", f"/api/v1/chatbots/{chat}/info")["status"] == 401


# -- chatbots ------------------------------------------------------------------------------------------------------


def test_a_chat_is_opened_and_asked(page, chat):
    path = f"/api/v1/chatbots/{chat}/completions"
    hello, end = page.ask(path, {"question": ""}).frames
    assert hello["data"]["answer"].startswith("Hi!")
    assert (hello["message"], end) == ("", END)
    session = hello["data"]["session_id"]
    frames = page.ask(path, {"question": QUESTION, "session_id": session}).frames
    assert all(frame["message"] == "" for frame in frames)
    assert "Clara Nord" in text_of(frames)
    assert frames[-1] == END
    assert frames[-2]["data"]["reference"] == {}  # citations have to be asked for
    quoted = page.ask(path, {"question": QUESTION, "session_id": session, "quote": True, "stream": False}).json
    assert quoted["data"]["reference"]["chunks"][0]["content"] == BRIDGE
    assert quoted["data"]["session_id"] == session


def test_one_greeting_is_an_object(page, chat):
    data = page.ask(f"/api/v1/chatbots/{chat}/completions", {"question": "", "stream": False}).json["data"]
    assert data.keys() == {"answer", "reference", "audio_binary", "id", "session_id"}


def test_what_a_chat_refuses(page, chat, create_chat, new_session, profile):
    path = f"/api/v1/chatbots/{chat}/completions"
    exact = profile == "exact"
    for client, path_, body, message, standard in [
        (page, path, b"{broken", None, (101, 400)),
        (page, path, {}, "question", (101, 400)),
        (page, "/api/v1/chatbots/none/completions", {"question": "x"}, "Dialog not found", (102, 404)),
        (page, path, {"question": "x", "session_id": "none"}, "Session not found!", (102, 404)),
        (
            page,
            path,
            {"question": "x", "session_id": new_session(create_chat("second")["id"])},
            "Session not found!",
            (102, 404),
        ),
    ]:
        reply = client.ask(path_, body)
        assert (reply.json["code"], reply.status) == ((100, 200) if exact else standard)
        assert message is None or message in reply.json["message"]


def test_a_broken_body_comes_before_the_token(chat):
    assert "JSON" in ASGI(None).ask(f"/api/v1/chatbots/{chat}/completions", b"{broken").json["message"]


def test_info(page, create_chat, profile):
    chat = create_chat("Guide", avatar="data:x", prompt={"opener": "Welcome!", "tavily_api_key": "k", "variables": []})
    client = API(page.token)
    assert client.call("GET", f"/api/v1/chatbots/{chat['id']}/info") == {
        "code": 0,
        "data": {"title": "Guide", "avatar": "data:x", "prologue": "Welcome!", "has_tavily_key": True},
        "status": 200,
    }
    missing = client.call("GET", "/api/v1/chatbots/none/info")
    assert (missing["code"], missing["message"]) == (102, "Can't find dialog by ID: none")


@pytest.mark.parametrize(("fault", "word"), FAULTS.values(), ids=FAULTS)
def test_a_failing_provider_is_told_to_pages(page, provider, create_chat, new_session, dataset, fault, word):
    chat = create_chat("scripted", dataset_ids=[dataset])["id"]
    session = new_session(chat)
    provider.script(fault, fault)
    for path, body in [
        (f"/api/v1/chatbots/{chat}/completions", {"question": QUESTION, "session_id": session}),
        (f"{SEARCH}/ask", {"question": QUESTION, "kb_ids": [dataset]}),
    ]:
        *_, error, end = page.ask(path, body).frames
        assert error["data"]["answer"].startswith(f"**ERROR**: {word} - ")
        assert end == END


async def test_a_visitor_who_leaves_ends_the_request(page, provider, dataset):
    provider.script(Reply(text="One two three", interval=0.02, hang_after=1))
    async with page.calling(f"{SEARCH}/ask", {"question": QUESTION, "kb_ids": [dataset]}) as call:
        await call.begin()
        async with asyncio.timeout(10):
            while b"One" not in call.reply.body:
                await call.more()
    assert await asyncio.to_thread(provider.exchanges[-1].ended.wait, 5)
    assert provider.exchanges[-1].client_left_after is not None


# -- searchbots ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "missing"),
    [
        ("ask", "question,kb_ids"),
        ("retrieval_test", "kb_id,question"),
        ("related_questions", "question"),
        ("mindmap", "question,kb_ids"),
    ],
)
def test_required_keys_come_before_the_token(profile, db, path, missing):
    for body in ({}, b"{broken"):
        reply = ASGI(None).ask(f"{SEARCH}/{path}", body)
        assert (reply.json["code"], reply.json["message"]) == (101, f"required argument are missing: {missing}; ")


def test_a_search_app_decides_what_is_asked_and_how(page, provider, search, dataset):
    app = SearchApp.objects.get(pk=search)
    app.search_config |= {"chat_id": "chosen@OpenAI", "llm_setting": {"temperature": 0.7}, "similarity_threshold": 0.0}
    app.save()
    provider.script(Reply(text="Nord."), Reply(text="1. Why?\n2. How?"))
    frames = page.ask(f"{SEARCH}/ask", {"question": QUESTION, "kb_ids": ["ignored"], "search_id": search}).frames
    assert text_of(frames) == "Nord."
    assert (provider.exchanges[0].body["model"], provider.exchanges[0].body["temperature"]) == ("chosen", 0.7)
    related = page.ask(f"{SEARCH}/related_questions", {"question": "bridge", "search_id": search})
    assert related.json == {"code": 0, "message": "success", "data": ["Why?", "How?"]}
    assert (provider.exchanges[1].body["model"], provider.exchanges[1].body["temperature"]) == ("chosen", 0.7)


def test_what_is_wrong_with_an_ask_is_told_in_the_stream(page, dataset):
    for body, message in [
        ({"kb_ids": ["nope"]}, "You don't own the dataset nope."),
        ({"kb_ids": []}, "`kb_ids` is required."),
        ({"kb_ids": 5}, "`kb_ids` must be a list of texts, not 5."),
        ({"kb_ids": [dataset], "search_id": "nope"}, "Can't find this Search App!"),
    ]:
        error, end = page.ask(f"{SEARCH}/ask", {"question": "x"} | body).frames
        assert (error["code"], error["message"], end) == (500, message, END)


def test_an_ask_may_name_documents(page, dataset):
    body = {"question": QUESTION, "kb_ids": [dataset], "doc_ids": ["0" * 32]}
    assert page.ask(f"{SEARCH}/ask", body).frames[-2]["data"]["reference"]["total"] == 0


def test_a_trial_search(page, dataset):
    answer = page.ask(f"{SEARCH}/retrieval_test", {"question": QUESTION, "kb_id": dataset, "highlight": True}).json
    assert answer["message"] == "success"
    first = answer["data"]["chunks"][0]
    assert first["content_with_weight"] == BRIDGE
    assert (first["kb_id"], first["docnm_kwd"]) == (dataset, "facts.txt")
    assert "<em>" in first["highlight"]
    assert answer["data"]["doc_aggs"][0]["doc_name"] == "facts.txt"
    assert "labels" in answer["data"]
    plain = {"question": QUESTION, "kb_id": [dataset], "page": "1", "size": "1"}
    (only,) = page.ask(f"{SEARCH}/retrieval_test", plain).json["data"]["chunks"]
    assert "highlight" not in only
    assert page.ask(f"{SEARCH}/retrieval_test", plain | {"page": 9}).json["data"]["chunks"] == []


def test_the_settings_of_a_trial_are_given_or_saved(page, search, dataset):
    app = SearchApp.objects.get(pk=search)
    app.search_config |= {"similarity_threshold": 0.99}
    app.save()
    body = {"question": QUESTION, "kb_id": dataset, "search_id": search}
    assert page.ask(f"{SEARCH}/retrieval_test", body).json["data"]["total"] == 0
    given = page.ask(f"{SEARCH}/retrieval_test", body | {"similarity_threshold": 0.1}).json["data"]
    assert given["total"] > 0


@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        ({"kb_id": ""}, 102, "Please specify dataset firstly."),
        ({"kb_id": []}, 102, "Please specify dataset firstly."),
        ({"kb_id": "nope"}, 103, "Only owner of dataset authorized for this operation."),
        ({"kb_id": ["{dataset}", "nope"]}, 103, "Only owner of dataset authorized for this operation."),
        ({"top_k": -1}, 101, "`top_k` must be greater than 0"),
        ({"page": "x"}, 101, "`page` must be a whole number"),
        ({"page": -1}, 101, "`page` must be greater than 0"),
        ({"question": 5}, 101, "`question` must be text"),
        ({"similarity_threshold": "x"}, 101, "`similarity_threshold` must be a number"),
    ],
)
def test_what_a_trial_refuses(page, dataset, body, code, message):
    body = filled_in(body, {"dataset": dataset})
    answer = page.ask(f"{SEARCH}/retrieval_test", {"question": "x", "kb_id": dataset} | body).json
    assert answer["code"] == code
    assert answer["message"].startswith(message)


def test_a_mind_map(page, provider, dataset, profile):
    provider.script(Reply(text="# Ulm\n- bridge"), Reply(status=401))
    body = {"question": QUESTION, "kb_ids": [dataset]}
    answer = page.ask(f"{SEARCH}/mindmap", body).json
    assert answer["data"] == {"id": "Ulm", "children": [{"id": "bridge", "children": []}]}
    failed = page.ask(f"{SEARCH}/mindmap", body)
    assert (failed.json["code"], failed.status) == ((100, 200) if profile == "exact" else (100, 502))
    nothing = page.ask(f"{SEARCH}/mindmap", {"question": "x", "kb_ids": []}).json
    assert nothing["code"] == (100 if profile == "exact" else 101)
    assert "No KB selected" in nothing["message"]


def test_without_a_language_model_the_map_names_documents(page, dataset):
    answer = page.ask(f"{SEARCH}/mindmap", {"question": QUESTION, "kb_ids": [dataset]}).json["data"]
    assert answer["id"] == QUESTION
    (document,) = answer["children"]
    assert document["id"] == "facts.txt"
    assert {"id": BRIDGE, "children": []} in document["children"]


def test_detail(page, tenant, search, dataset, profile):
    client = API(page.token)
    shown = client.call("GET", f"{SEARCH}/detail?search_id={search}")["data"]
    assert shown["search_config"] == {"kb_ids": [dataset]}
    assert shown.keys() == {
        "id", "avatar", "tenant_id", "name", "description", "created_by", "search_config", "update_time",
    }  # fmt: skip
    exact = profile == "exact"
    missing = client.call("GET", f"{SEARCH}/detail")
    assert missing["code"] == (100 if exact else 101)
    unknown = client.call("GET", f"{SEARCH}/detail?search_id=nope")
    assert (unknown["code"], unknown["data"]) == (103, False)
    assert unknown["message"] == "Has no permission for this operation."
