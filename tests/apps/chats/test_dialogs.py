"""/v1/dialog/*, where assistants are dialogs, and trial searches at /v1/chunk/retrieval_test."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.chats.models import Assistant
from apps.datasets.models import KnowledgeBase

pytestmark = pytest.mark.django_db(transaction=True)

SLOT = {"system": "Answer from {knowledge}", "parameters": []}
PLAIN = {"system": "Answer", "parameters": []}


@pytest.fixture
def call(api):
    def send(path, body=None, method="POST"):
        answer = api.call(method, f"/v1/{path}", body)
        del answer["status"]
        return answer

    return send


@pytest.fixture
def save(call):
    def send(**fields):
        return call("dialog/set", {"prompt_config": PLAIN} | fields)

    return send


@pytest.fixture
def show(call):
    def read(dialog_id):
        return call(f"dialog/get?dialog_id={dialog_id}", method="GET")

    return read


def test_defaults(save, tenant):
    made = save()["data"]
    assert made == {
        "id": made["id"],
        "tenant_id": tenant.pk,
        "name": "New Dialog",
        "kb_ids": [],
        "description": "A helpful dialog",
        "llm_id": made["llm_id"],
        "llm_setting": {},
        "prompt_config": PLAIN,
        "meta_data_filter": {},
        "top_n": 6,
        "top_k": 1024,
        "rerank_id": "",
        "similarity_threshold": 0.1,
        "vector_similarity_weight": 0.3,
        "icon": "",
    }
    assert made["llm_id"]


@pytest.mark.parametrize(
    "fields",
    [
        {"name": "Gürkchen 🥒", "description": "🥒", "icon": "🥒", "prompt_config": {"system": "🥒" * 30_000}},
        {"name": "  with blanks "},
        {"llm_setting": {"k" * 1000: "v" * 1000}, "top_n": -1, "top_k": 0, "similarity_threshold": -0.5},
        {"rerank_id": None, "description": None},
        {"unknown": 1, "prompt": {"opener": "x"}, "llm": {"model_name": "none"}, "dataset_ids": ["x"]},
    ],
)
def test_what_is_sent_is_stored(save, show, fields):
    made = save(**fields)
    assert made["code"] == 0, made
    record = show(made["data"]["id"])["data"]
    for key in set(fields) & set(record) - {"prompt_config"}:
        assert record[key] == ("" if fields[key] is None else fields[key])
    assert record["prompt_config"]["system"] == fields.get("prompt_config", PLAIN)["system"]
    assert (record["kb_ids"], record["status"]) == ([], "1")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (None, "Dialog name must be string."),
        (0, "Dialog name must be string."),
        ("", "Dialog name can't be empty."),
        (" \n", "Dialog name can't be empty."),
        ("a" * 256, "Dialog name length is 256 which is larger than 255"),
        ("é" * 128, "Dialog name length is 128 which is larger than 255"),
    ],
)
def test_names_that_cannot_be(save, profile, name, message):
    assert save(name=name) == {"code": 102, "message": message}


def test_a_name_in_use_gets_a_number(save):
    assert [save(name=name)["data"]["name"] for name in ("Chat", "chat", "CHAT")] == ["Chat", "chat(1)", "CHAT(2)"]


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"system": "x", "parameters": [{"key": "knowledge", "optional": False}]}, "Parameter 'knowledge' is not used"),
        ({"system": "x", "parameters": [{"key": "", "optional": False}, {}]}, "Parameter '' is not used"),
        ({"system": "x", "parameters": [{"key": "a"}]}, "Each of `prompt_config.parameters` needs"),
        ({"system": "x", "parameters": 5}, "`prompt_config.parameters` must be a list."),
    ],
)
def test_parameters_that_cannot_be(save, profile, config, message):
    answer = save(prompt_config=config)
    assert answer["code"] == 102
    assert answer["message"].startswith(message)
    assert not Assistant.objects.exists()


def test_the_body_is_looked_at_before_the_credentials(new_client, call):
    from tests.apps.conftest import API

    stranger = API(None)
    missing = "required argument are missing: prompt_config; "
    assert stranger.call("POST", "/v1/dialog/set", {})["message"] == missing
    assert stranger.call("POST", "/v1/dialog/set", {"prompt_config": {}})["status"] == 401
    assert call("dialog/set", {"name": "x"}) == {"code": 101, "message": missing, "data": None}


def test_datasets(save, show, api, other, call):
    mine, theirs = api.create_dataset("mine")["id"], other.create_dataset("theirs")["id"]
    made = save(kb_ids=[mine, theirs, "unknown"], prompt_config=SLOT)["data"]
    assert made["prompt_config"]["parameters"] == [{"key": "knowledge", "optional": False}]
    record = show(made["id"])["data"]
    assert (record["kb_ids"], record["kb_names"]) == ([mine], ["mine"])
    call("kb/rm", {"kb_id": mine})
    assert show(made["id"])["data"]["kb_ids"] == []


def test_a_dataset_is_listed_as_often_as_it_was_named(save, show, api, call):
    first, second = (api.create_dataset(name)["id"] for name in ("first", "second"))
    made = save(kb_ids=[first, second, first])["data"]["id"]
    record = show(made)["data"]
    assert (record["kb_ids"], record["kb_names"]) == ([first, second, first], ["first", "second", "first"])
    assert call("dialog/list", method="GET")["data"][0]["kb_ids"] == [first, second, first]
    assert save(dialog_id=made, kb_ids=[second, second])["data"]["kb_ids"] == [second, second]
    assert save(dialog_id=made, kb_ids=None)["data"]["kb_ids"] == []


def test_a_dataset_that_is_named_twice_is_searched_once(save, asgi, new_session, dataset):
    made = save(kb_ids=[dataset, dataset], prompt_config=SLOT)["data"]["id"]
    body = {"question": "Who built the bridge?", "session_id": new_session(made), "stream": False}
    reference = asgi.ask(f"/api/v1/chats/{made}/completions", body).json["data"]["reference"]
    names = [chunk["id"] for chunk in reference["chunks"]]
    assert names
    assert len(names) == len(set(names)) == reference["total"]


@pytest.mark.parametrize("models", [("hash-1024@Builtin", "other@Builtin"), ("e5@small@Builtin", "e5@large@Builtin")])
def test_datasets_that_do_not_go_together(save, api, profile, models):
    ids = [api.create_dataset(name)["id"] for name in ("a", "b")]
    for id_, model in zip(ids, models, strict=True):
        KnowledgeBase.objects.filter(pk=id_).update(embedding_model=model)
    answer = save(kb_ids=ids)
    assert answer["code"] == 102
    assert answer["message"].startswith("Datasets use different embedding models: ['")
    assert answer["message"].endswith(']"')


def test_a_deletion_may_name_more_than_a_statement_takes(api, profile):
    answer = api.call("POST", "/v1/dialog/rm", {"dialog_ids": list(map(str, range(250_001)))})
    assert answer["message"] == "Only owner of dialog authorized for this operation."


def test_updating(save, show, profile):
    made = save(name="old", llm_setting={"temperature": 0.5}, top_n=3)["data"]["id"]
    changed = save(dialog_id=made, name="new", prompt_config={"system": "Other"})["data"]
    expected = {"name": "new", "top_n": 3, "llm_setting": {"temperature": 0.5}, "kb_names": []}
    assert {key: changed[key] for key in expected} == expected
    assert show(made)["data"]["prompt_config"]["system"] == "Other"
    assert save(dialog_id=made, rerank_id=None, icon=None, description=None)["data"]["name"] == "new"
    assert save(dialog_id="f" * 32) == {"code": 102, "message": "Dialog not found!"}
    refusal = "Please remove `{knowledge}` in system prompt since no dataset / Tavily used here."
    assert save(dialog_id=made, prompt_config=SLOT) == {"code": 102, "message": refusal}
    assert save(dialog_id=made, prompt_config=SLOT | {"tavily_api_key": "k"})["code"] == 0
    save(name="taken")
    assert save(dialog_id=made, name="Taken")["code"] == 102


def test_lists(save, call, tenant):
    ids = [save(name=name)["data"]["id"] for name in ("a", "b", "c")]
    assert [row["id"] for row in call("dialog/list", method="GET")["data"]] == ids[::-1]
    page = call("dialog/next?page=1&page_size=2")["data"]
    assert ([row["name"] for row in page["dialogs"]], page["total"]) == (["c", "b"], 3)
    assert set(page["dialogs"][0]) == {
        *("id", "tenant_id", "name", "description", "language", "llm_id", "llm_setting", "prompt_type"),
        *("prompt_config", "similarity_threshold", "vector_similarity_weight", "top_n", "top_k", "do_refer"),
        *("rerank_id", "kb_ids", "icon", "status", "nickname", "tenant_avatar", "update_time", "create_time"),
    }
    assert call("dialog/next?keywords=B&desc=false")["data"]["total"] == 1
    assert call("dialog/next", {"owner_ids": ["x"]})["data"] == {"dialogs": [], "total": 0}
    assert call("dialog/next", {"owner_ids": [tenant.pk]})["data"]["total"] == 3


@pytest.mark.parametrize(
    ("path", "method", "reads"), [("dialog/next?page=1&page_size=9", "POST", 5), ("dialog/list", "GET", 3)]
)
@pytest.mark.parametrize("count", [1, 4])
def test_lists_cost_the_same_however_long(save, call, api, path, method, reads, count):
    kb_id = api.create_dataset("set")["id"]
    for number in range(count):
        save(name=f"chat {number}", kb_ids=[kb_id])
    with CaptureQueriesContext(connection) as queries:
        call(path, method=method)
    made = [query["sql"] for query in queries if query["sql"].startswith("SELECT")]
    assert len(made) == reads, made


def test_deleting(save, show, call, profile):
    first, second = save(name="a")["data"]["id"], save(name="b")["data"]["id"]
    refused = {"code": 103, "message": "Only owner of dialog authorized for this operation.", "data": False}
    assert call("dialog/rm", {"dialog_ids": [first, "x"]}) == refused
    assert call("dialog/rm", {"dialog_ids": first}) == refused
    assert call("dialog/rm", {"dialog_ids": []})["data"] is True
    assert len(call("dialog/list", method="GET")["data"]) == 2
    for _ in range(2):
        assert call("dialog/rm", {"dialog_ids": [first]})["data"] is True
    assert [row["id"] for row in call("dialog/list", method="GET")["data"]] == [second]
    assert show(first)["data"]["status"] == "0"
    assert save(name="a")["data"]["name"] == "a"


def test_looking_up(show, call, settings):
    settings.WIRE_PROFILE = "exact"
    assert show("") == show("x") == {"code": 102, "message": "Dialog not found!"}
    answer = call("dialog/get", method="GET")
    assert (answer["code"], answer["message"]) == (100, "<BadRequestKeyError '400: Bad Request'>")


# -- trial searches ------------------------------------------------------------------------------------------------


@pytest.fixture
def search(call, fill, api, settings):
    """Return a function that searches four chunks about a chunk and one about a fox."""
    settings.WIRE_PROFILE = "exact"
    kb_id = fill(api, *(f"chunk test {number}" for number in range(4)), "The quick brown fox.")

    def ask(question="chunk", **fields):
        return call("chunk/retrieval_test", {"kb_id": kb_id, "question": question} | fields)

    return ask


@pytest.mark.parametrize(
    ("fields", "count"),
    [
        ({}, 4),
        ({"size": 1}, 1),
        ({"page": "3", "size": 2}, 0),
        ({"top_k": 1}, 4),
        ({"vector_similarity_weight": 0}, 4),
        ({"vector_similarity_weight": 0.5}, 4),
        ({"vector_similarity_weight": 10}, 4),
        ({"similarity_threshold": 0}, 4),
    ],
)
def test_what_a_trial_finds(search, fields, count):
    answer = search(highlight=True, **fields)
    assert (answer["code"], len(answer["data"]["chunks"])) == (0, count), answer
    assert set(answer["data"]) == {"total", "chunks", "doc_aggs", "labels"}
    for chunk in answer["data"]["chunks"]:
        assert "highlight" not in chunk
        assert chunk["content_with_weight"].startswith("chunk test")


def test_trials_that_cannot_be(search):
    assert search(kb_id=[]) == {"code": 102, "message": "Please specify dataset firstly.", "data": False}
    refused = {"code": 103, "message": "Only owner of dataset authorized for this operation.", "data": False}
    assert search(kb_id=["f" * 32]) == refused
    for top_k in (0, -1):
        answer = search(top_k=top_k)
        assert answer["code"] == 100
        assert "must be greater than 0" in answer["message"]
