"""Creating, listing, changing and deleting chat assistants."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.chats.models import Assistant
from apps.datasets.models import KnowledgeBase

pytestmark = pytest.mark.django_db
CHATS = "/api/v1/chats"


def listed(api, query=""):
    answer = api.call("GET", f"{CHATS}{query}")
    assert answer["code"] == 0, answer
    return answer["data"]


def refused(answer, profile, message, *, code=102, status=400):
    expected = 200 if profile == "exact" else status
    assert (answer["code"], answer["message"], answer["status"]) == (code, message, expected)
    assert "data" not in answer


# -- create --------------------------------------------------------------------------------------------------------


def test_a_new_assistant_has_every_field_of_the_contract(create_chat, dataset, tenant):
    data = create_chat("helper", dataset_ids=[dataset], llm={}, prompt={})
    system = data["prompt"].pop("prompt")
    assert "{knowledge}" in system
    assert len(data.pop("id")) == 32
    for time in ("create_time", "create_date", "update_time", "update_date"):
        assert data.pop(time)
    assert data == {
        "tenant_id": tenant.pk,
        "name": "helper",
        "avatar": "",
        "description": "A helpful Assistant",
        "language": "English",
        "dataset_ids": [dataset],
        "llm": {
            "model_name": "extractive@Builtin",
            "temperature": 0.1,
            "top_p": 0.3,
            "frequency_penalty": 0.7,
            "presence_penalty": 0.4,
            "max_tokens": 512,
        },
        "prompt": {
            "opener": "Hi! I'm your assistant. What can I do for you?",
            "show_quote": True,
            "variables": [{"key": "knowledge", "optional": False}],
            "empty_response": "Sorry! No relevant content was found in the knowledge base!",
            "tts": False,
            "refine_multiturn": True,
            "similarity_threshold": 0.2,
            "keywords_similarity_weight": 0.7,
            "top_n": 6,
            "rerank_model": "",
        },
        "prompt_type": "simple",
        "meta_data_filter": {},
        "do_refer": "1",
        "status": "1",
    }


def test_what_the_official_client_sends_is_accepted(create_chat, dataset):
    system = "Answer from {knowledge}."
    data = create_chat(
        "sdk",
        avatar="",
        dataset_ids=[dataset],
        llm={
            "model_name": None,
            "temperature": 0.1,
            "top_p": 0.3,
            "presence_penalty": 0.4,
            "frequency_penalty": 0.7,
            "max_tokens": 512,
        },
        prompt={
            "similarity_threshold": 0.2,
            "keywords_similarity_weight": 0.7,
            "top_n": 8,
            "top_k": 1024,
            "variables": [{"key": "knowledge", "optional": True}],
            "rerank_model": "",
            "empty_response": None,
            "opener": "Hi",
            "show_quote": True,
            "prompt": system,
        },
    )
    assert data["prompt"]["prompt"] == system
    assert data["prompt"]["empty_response"] is None
    assert data["prompt"]["keywords_similarity_weight"] == pytest.approx(0.3)
    assert "top_k" not in data


@pytest.mark.parametrize(("sent", "read"), [(0, 1), (1, 0)])
def test_the_keyword_weight_reads_back_inverted(create_chat, api, sent, read):
    create_chat(prompt={"keywords_similarity_weight": sent})
    assert listed(api)[0]["prompt"]["keywords_similarity_weight"] == read


def test_generation_options_replace_the_defaults(create_chat):
    assert create_chat(llm={"temperature": 0})["llm"] == {"temperature": 0, "model_name": "extractive@Builtin"}


def test_the_stored_form_of_a_prompt_is_accepted(create_chat):
    parameters = [{"key": "knowledge", "optional": True, "value": "kept"}]
    prompt = create_chat(prompt_config={"system": "Say {knowledge}", "parameters": parameters})["prompt"]
    assert (prompt["prompt"], prompt["variables"]) == ("Say {knowledge}", parameters)
    assert prompt["empty_response"].startswith("Sorry!")


def test_the_installation_may_set_the_default_system_text(create_chat, settings):
    settings.DEFAULT_SYSTEM_PROMPT = "Ours:\n{knowledge}\n"
    assert create_chat(prompt={})["prompt"]["prompt"] == "Ours:\n{knowledge}\n"


def test_datasets_are_checked_before_anything_else(api, other, dataset, fill, profile):
    foreign = fill(other, "Theirs.", name="theirs")
    empty = api.create_dataset("empty")["id"]
    cases = [
        ([foreign], f"You don't own the dataset {foreign}", 404),
        (["nowhere", dataset], "You don't own the dataset nowhere", 404),
        ("invalid_dataset_id", "You don't own the dataset i", 404),
        ([7], "You don't own the dataset 7", 404),
        ([dataset, empty], f"The dataset {empty} doesn't own parsed file", 400),
    ]
    for ids, message, status in cases:
        body = {"dataset_ids": ids, "llm": {"model_name": "unknown"}}
        refused(api.call("POST", CHATS, body), profile, message, status=status)


def test_datasets_of_two_embedding_models_do_not_go_together(api, dataset, fill, profile):
    second = fill(api, "Second.", name="second")
    KnowledgeBase.objects.filter(pk=second).update(embedding_model="bge-m3@Builtin")
    body = {"name": "mixed", "dataset_ids": [dataset, second]}
    refused(api.call("POST", CHATS, body), profile, 'Datasets use different embedding models."', code=109)
    KnowledgeBase.objects.filter(pk=second).update(embedding_model="hash-1024@Elsewhere")
    assert api.call("POST", CHATS, body)["code"] == 0  # the same model of another provider


def test_names_of_models_may_hold_the_sign_that_ends_them(api, dataset, fill, profile):
    second = fill(api, "Second.", name="second")
    for id_, model in ((dataset, "e5@small@Builtin"), (second, "e5@large@Builtin")):
        KnowledgeBase.objects.filter(pk=id_).update(embedding_model=model)
    body = {"name": "mixed", "dataset_ids": [dataset, second]}
    refused(api.call("POST", CHATS, body), profile, 'Datasets use different embedding models."', code=109)


def test_a_missing_list_of_datasets_is_no_null(api, profile):
    answer = api.call("POST", CHATS, {"name": "x", "dataset_ids": None})
    if profile == "exact":
        assert (answer["code"], answer["message"]) == (100, """TypeError("'NoneType' object is not iterable")""")
    else:
        assert (answer["code"], answer["status"]) == (101, 400)
        assert "dataset_ids" in answer["message"]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"llm": {"model_name": "unknown"}}, "`model_name` unknown doesn't exist"),
        ({"llm": {"model_name": "unknown@OpenAI"}}, "`model_name` unknown@OpenAI doesn't exist"),
        ({"prompt": {"rerank_model": "unknown"}}, "`rerank_model` unknown doesn't exist"),
        ({}, "`name` is required."),
        ({"name": ""}, "`name` is required."),
        ({"name": None}, "`name` is required."),
        ({"name": "x", "tenant_id": "y"}, "`tenant_id` must not be provided."),
        ({"name": "x", "prompt": {"prompt": "Hello World"}}, "Parameter 'knowledge' is not used"),
    ],
)
def test_what_cannot_be_created_is_refused_in_words(api, profile, body, message):
    refused(api.call("POST", CHATS, body), profile, message)
    assert not Assistant.objects.exists()


def test_a_rerank_model_of_the_contract_needs_no_provider(create_chat):
    assert create_chat(prompt={"rerank_model": "BAAI/bge-reranker-v2-m3"})["prompt"]["rerank_model"]


def test_a_prompt_without_variables_needs_no_placeholder(create_chat):
    assert create_chat(prompt={"prompt": "Hello World", "variables": []})["prompt"]["variables"] == []


def test_a_name_is_taken_in_any_letter_case(api, create_chat, profile):
    create_chat("Ärger")
    answer = api.call("POST", CHATS, {"name": "ÄRGER"})
    refused(answer, profile, "Duplicated chat name in creating chat.", status=409)


def test_another_tenant_may_use_the_same_name(create_chat, other):
    create_chat("mine")
    create_chat("mine", client=other)


@pytest.mark.parametrize(
    "body", [{"llm": []}, {"llm": "x"}, {"prompt": "text"}, {"name": 5}, {"name": "x" * 256}, {"language": 5}]
)
def test_values_of_the_wrong_type_are_named(api, profile, body):
    answer = api.call("POST", CHATS, {"name": "x"} | body)
    if profile == "exact":
        assert (answer["code"], answer["status"]) == (100, 200)
    else:
        assert (answer["code"], answer["status"]) == (101, 400)
        assert f"`{next(iter(body))}`" in answer["message"]


def test_credentials_come_first(client, profile):
    answer = client.post(CHATS, "{broken", content_type="application/json")
    assert answer.json()["message"] == "`Authorization` can't be empty"
    assert (answer.status_code, answer.json()["code"]) == ((200, 0) if profile == "exact" else (401, 401))


# -- list ----------------------------------------------------------------------------------------------------------


def test_no_chats_is_an_empty_list(api):
    assert listed(api) == []


def test_a_listed_assistant_shows_its_datasets_by_stored_names(api, chat, dataset):
    (item,) = listed(api)
    assert item["top_k"] == 1024
    assert "dataset_ids" not in item
    (shown,) = item["datasets"]
    assert (shown["id"], shown["chunk_num"], shown["embd_id"]) == (dataset, 2, "hash-1024@Builtin")
    assert shown["parser_id"] == "naive"


def test_listing_works_after_a_dataset_is_deleted(api, chat, dataset):
    assert api.call("DELETE", "/api/v1/datasets", {"ids": [dataset]})["code"] == 0
    assert listed(api)[0]["datasets"] == []


def test_lists_are_ordered_and_paged(api, create_chat):
    for name in ("b", "a", "c"):
        create_chat(name)

    def names(query):
        return [item["name"] for item in listed(api, query)]

    assert names("") == ["c", "a", "b"]
    assert names("?desc=False") == ["b", "a", "c"]
    assert names("?desc=unknown") == ["c", "a", "b"]
    assert names("?orderby=name&desc=false") == ["a", "b", "c"]
    assert names("?orderby=update_time&foo=bar") == ["c", "a", "b"]
    assert names("?page=2&page_size=2") == ["b"]
    assert names("?page=0&page_size=2") == ["c", "a"]
    assert names("?page=9&page_size=2") == []
    assert names("?page_size=0") == []
    assert names("?page=&page_size=&id=&name=") == ["c", "a", "b"]


def test_filters_find_one_chat_or_say_that_there_is_none(api, other, create_chat, profile):
    mine = create_chat("Mine")["id"]
    theirs = create_chat("theirs", client=other)["id"]
    assert [item["id"] for item in listed(api, f"?id={mine}")] == [mine]
    assert [item["id"] for item in listed(api, f"?name=mINE&id={mine}")] == [mine]
    assert listed(api, f"?id={mine}&page=5") == []
    for query in (f"?id={theirs}", "?name=theirs", f"?id={mine}&name=theirs"):
        refused(api.call("GET", f"{CHATS}{query}"), profile, "The chat doesn't exist", status=404)


@pytest.mark.parametrize("query", ["?page=a", "?page_size=-1", "?orderby=secret"])
def test_a_bad_list_query_is_refused(api, query, profile):
    answer = api.call("GET", f"{CHATS}{query}")
    assert answer["code"] == (100 if profile == "exact" else 101)
    if "orderby" in query and profile == "exact":
        assert answer["message"].startswith("AttributeError(")


def test_a_list_costs_the_same_queries_for_any_number_of_chats(api, create_chat, dataset, fill):
    second = fill(api, "More.", name="second")
    for number in range(12):
        create_chat(f"chat {number}", dataset_ids=[dataset, second])
    api.call("GET", CHATS)
    with CaptureQueriesContext(connection) as queries:
        assert len(listed(api)) == 12
    assert len(queries) == 3, queries.captured_queries  # token, chats, datasets


# -- update --------------------------------------------------------------------------------------------------------


def update(api, chat, body):
    return api.call("PUT", f"{CHATS}/{chat}", body)


def test_an_update_merges_prompt_and_options(api, chat, dataset):
    body = {
        "name": "renamed",
        "llm": {"model_type": "chat", "temperature": 0},
        "prompt": {"top_n": 1, "opener": "Yes?", "keyword": True},
        "show_quotation": False,
        "avatar": "aWNvbg==",
    }
    assert update(api, chat, body) == {"code": 0, "status": 200}
    (item,) = listed(api)
    assert (item["name"], item["avatar"], item["do_refer"]) == ("renamed", "aWNvbg==", "0")
    assert item["llm"]["temperature"] == 0
    assert item["llm"]["max_tokens"] == 512
    assert item["llm"]["model_name"] == "extractive@Builtin"
    assert (item["prompt"]["top_n"], item["prompt"]["opener"], item["prompt"]["keyword"]) == (1, "Yes?", True)
    assert item["prompt"]["show_quote"] is True
    assert [shown["id"] for shown in item["datasets"]] == [dataset]  # not named, so kept


def test_an_update_replaces_the_datasets_in_order(api, chat, dataset, fill):
    first, second = fill(api, "One.", name="one"), fill(api, "Two.", name="two")
    assert update(api, chat, {"dataset_ids": [second, first, second]})["code"] == 0
    assert [shown["id"] for shown in listed(api)[0]["datasets"]] == [second, first]
    for none in ([], None, ""):
        assert update(api, chat, {"dataset_ids": [first]})["code"] == 0
        assert update(api, chat, {"dataset_ids": none})["code"] == 0
        assert listed(api)[0]["datasets"] == []


@pytest.mark.parametrize(
    ("body", "message", "status"),
    [
        ({"dataset_ids": ["nowhere"]}, "You don't own the dataset nowhere", 404),
        ({"llm": {"model_name": "unknown"}}, "`model_name` unknown doesn't exist", 400),
        ({"prompt": {"rerank_model": "unknown"}}, "`rerank_model` unknown doesn't exist", 400),
        ({"name": ""}, "`name` cannot be empty.", 400),
        ({"name": None}, "`name` cannot be empty.", 400),
        ({"name": "TAKEN"}, "Duplicated chat name in updating chat.", 409),
        ({"prompt": {"prompt": "Hello World"}}, "Parameter 'knowledge' is not used", 400),
    ],
)
def test_what_cannot_be_updated_is_refused_in_words(api, chat, create_chat, profile, body, message, status):
    create_chat("taken")
    before = Assistant.objects.get(pk=chat)
    refused(update(api, chat, body), profile, message, status=status)
    assert Assistant.objects.get(pk=chat).updated_at == before.updated_at


@pytest.mark.parametrize("also", [{"prompt": {}}, {"llm": None}, {"colour": 1}])
@pytest.mark.parametrize(
    ("body", "message", "status"),
    [
        ({"dataset_ids": ["nowhere"]}, "You don't own the dataset nowhere", 404),
        ({"name": ""}, "`name` cannot be empty.", 400),
        ({"name": "taken"}, "Duplicated chat name in updating chat.", 409),
    ],
)
def test_unknown_keys_are_looked_at_last(api, chat, create_chat, profile, body, message, status, also):
    create_chat("taken")
    refused(update(api, chat, also | body), profile, message, status=status)


@pytest.mark.parametrize(
    "body", [{"prompt": {}}, {"prompt": None}, {"llm": {}}, {"llm": None}, {"colour": 1}, {"status": "0"}]
)
def test_empty_objects_and_unknown_keys_are_refused(api, chat, profile, body):
    answer = update(api, chat, {"name": "new"} | body)
    if profile == "exact":
        assert answer["code"] == 100
        assert "ValueError" in answer["message"]
    else:
        assert (answer["code"], answer["status"]) == (101, 400)
    assert next(iter(body)) in answer["message"]
    assert Assistant.objects.get(pk=chat).name == "assistant"


def test_a_name_may_change_its_letter_case(api, chat):
    assert update(api, chat, {"name": "ASSISTANT"})["code"] == 0
    assert listed(api)[0]["name"] == "ASSISTANT"


def test_nobody_updates_another_tenants_chat(api, other, chat, profile):
    refused(update(other, chat, {"name": "mine now"}), profile, "You do not own the chat", status=404)
    assert listed(api)[0]["name"] == "assistant"


# -- delete --------------------------------------------------------------------------------------------------------


def delete(api, ids, **extra):
    return api.call("DELETE", CHATS, {"ids": ids, **extra})


@pytest.mark.parametrize("body", [None, {}, {"ids": None}, {"ids": []}])
def test_no_ids_mean_all_chats_of_the_tenant(api, other, create_chat, body):
    for number in range(35):
        create_chat(f"chat {number}")
    create_chat("theirs", client=other)
    assert api.call("DELETE", CHATS, body) == {"code": 0, "status": 200}
    assert listed(api) == []
    assert len(listed(other)) == 1
    create_chat("chat 0")  # the name is free again


def test_a_deletion_reports_what_it_could_not_delete(api, other, create_chat, profile):
    one, two, three = (create_chat(name)["id"] for name in ("one", "two", "three"))
    theirs = create_chat("theirs", client=other)["id"]
    assert delete(api, [one]) == {"code": 0, "status": 200}
    strange = "\n!?"
    partial = delete(api, [two, theirs, strange])
    assert partial["data"] == {
        "success_count": 1,
        "errors": [f"Assistant({theirs}) not found.", f"Assistant({strange}) not found."],
    }
    assert delete(api, [three, three])["data"] == {
        "success_count": 1,
        "errors": [f"Duplicate assistant ids: {three}"],
    }
    refused(delete(api, [one, theirs]), profile, f"Assistant({one}) not found.; Assistant({theirs}) not found.")
    assert len(listed(other)) == 1


def test_a_body_that_is_no_object_deletes_nothing(api, chat, profile):
    answer = api.call("DELETE", CHATS, "not json")
    assert answer["code"] == (100 if profile == "exact" else 101)
    assert len(listed(api)) == 1


def test_a_thousand_chats_go_in_one_call(api, tenant):
    rows = [Assistant(tenant=tenant, name=f"{n}", name_key=f"{n}", chat_model="m") for n in range(1000)]
    Assistant.objects.bulk_create(rows)
    assert delete(api, [row.pk for row in rows]) == {"code": 0, "status": 200}


# -- routes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/v1/chats//sessions"),
        ("DELETE", "/api/v1/chats//sessions"),
        ("GET", "/api/v1/chats/x"),
        ("PUT", "/api/v1/chats"),
    ],
)
def test_an_empty_id_names_the_shorter_route(api, method, path, profile):
    answer = api.call(method, path, {})
    assert (answer["code"], answer["message"]) == (100, "<MethodNotAllowed '405: Method Not Allowed'>")
    assert answer["status"] == (200 if profile == "exact" else 405)


@pytest.mark.django_db(transaction=True)
def test_of_two_requests_with_one_name_one_wins(api, tenant, chat):
    from apps.accounts.models import Tenant
    from apps.chats import schemas, services
    from apps.core.errors import Conflict

    def create(_number):
        from django.db import connection

        try:
            services.create_assistant(principal=api.principal, data=schemas.create_assistant({"name": "Same"}))
        except Conflict:
            return "conflict"
        finally:
            connection.close()
        return "created"

    with ThreadPoolExecutor(4) as pool:
        outcomes = list(pool.map(create, range(4)))
    assert sorted(outcomes) == ["conflict", "conflict", "conflict", "created"]
    assert Tenant.objects.get(pk=tenant.pk).assistants.filter(name="Same").count() == 1
