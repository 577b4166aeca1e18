"""/v1/search/*: search apps, with a session token or an API token."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.accounts.models import Membership, User
from apps.chats.models import SearchApp
from apps.chats.search_config import defaults
from tests.apps.conftest import API

pytestmark = pytest.mark.django_db(transaction=True)

DENIED = {"code": 109, "message": "No authorization.", "data": False}
ROUTES = [
    ("POST", "create", {"name": "x"}),
    ("POST", "update", {"search_id": "x", "name": "x", "search_config": {}, "tenant_id": "x"}),
    ("GET", "detail?search_id=x", None),
    ("POST", "list", None),
    ("POST", "rm", {"search_id": "x"}),
]


def call(client, path, body=None, method="POST"):
    return client.call(method, f"/v1/search/{path}", body)


@pytest.fixture
def create(api):
    def make(name="shop", client=api, **fields):
        answer = call(client, "create", {"name": name} | fields)
        assert answer["code"] == 0, answer
        return answer["data"]["search_id"]

    return make


@pytest.fixture
def update(api, tenant):
    """Change a search app and return the answer."""

    def send(search_id, client=api, **fields):
        body = {"search_id": search_id, "name": "shop", "search_config": {}, "tenant_id": tenant.pk}
        return call(client, "update", body | fields)

    return send


def detail(client, search_id):
    return call(client, f"detail?search_id={search_id}", method="GET")


def listed(client, query="", body=None):
    return call(client, f"list{query}", body)["data"]


def names_of(client, query="", body=None):
    return [app["name"] for app in listed(client, query, body)["search_apps"]]


@pytest.mark.parametrize(("method", "path", "body"), ROUTES)
@pytest.mark.parametrize("token", [None, "unknown"])
def test_credentials_come_first(db, method, path, body, token, profile):
    for sent in (body, None):
        answer = call(API(token), path, sent, method)
        assert (answer["code"], answer["status"]) == (401, 401)
        assert answer["message"] == "<Unauthorized '401: Unauthorized'>"


# -- create --------------------------------------------------------------------------------------------------------


def test_a_new_search_app_has_the_defaults(api, tenant, create):
    search_id = create("shop", description="for all")
    shown = detail(api, search_id)["data"]
    assert shown["search_config"] == defaults()
    assert (shown["id"], shown["tenant_id"], shown["created_by"]) == (search_id, tenant.pk, tenant.pk)
    assert (shown["name"], shown["description"]) == ("shop", "for all")
    assert shown.keys() >= {"avatar", "update_time", "nickname", "tenant_avatar"}


def test_a_configuration_may_come_with_it(api, create, dataset):
    config = detail(api, create(search_config={"kb_ids": [dataset], "mine": 1}))["data"]["search_config"]
    assert config == {**defaults(), "kb_ids": [dataset], "mine": 1}


def test_a_taken_name_is_numbered(api, other, create):
    create("shop")
    create("SHOP")
    create("shop", client=other)
    assert names_of(api) == ["SHOP(1)", "shop"]
    assert names_of(other) == ["shop"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (5, "Search name must be string."),
        (None, "Search name must be string."),
        ("", "Search name can't be empty."),
        (" ", "Search name can't be empty."),
        ("é" * 128, "Search name length is 256 which is large than 255."),
    ],
)
def test_names(api, profile, name, message):
    answer = call(api, "create", {"name": name})
    assert (answer["code"], answer["message"]) == (102, message)
    assert "data" not in answer


def test_what_is_required(api, profile):
    assert call(api, "create", {})["message"] == "required argument are missing: name; "
    assert call(api, "update", {"name": "x"})["code"] == 101
    assert call(api, "rm", {})["message"] == "required argument are missing: search_id; "
    missing = call(api, "detail", method="GET")
    assert missing["code"] == (100 if profile == "exact" else 101)


# -- update --------------------------------------------------------------------------------------------------------


def test_an_update_merges_the_configuration(api, create, update, dataset):
    search_id = create("shop")
    answer = update(search_id, name="store", search_config={"kb_ids": [dataset], "llm_setting": {"a": 1}})
    assert answer["message"] == "success"
    record = answer["data"]
    assert record["name"] == "store"
    assert record["search_config"] == {**defaults(), "kb_ids": [dataset], "llm_setting": {"a": 1}}
    assert record["status"] == "1"
    assert record["create_time"] <= record["update_time"]
    merged = update(search_id, name="store", search_config={"llm_setting": {"b": 2}, "top_k": 5})["data"]
    assert merged["search_config"]["llm_setting"] == {"b": 2}  # one level
    assert (merged["search_config"]["kb_ids"], merged["search_config"]["top_k"]) == ([dataset], 5)


@pytest.mark.parametrize(
    ("fields", "code", "message"),
    [
        ({"id": "x"}, 101, "Parameter id isn't allowed"),
        ({"created_by": "x"}, 101, "Parameter created_by isn't allowed"),
        ({"name": ""}, 102, "Search name can't be empty."),
        ({"name": "x" * 129}, 102, "Search name length is 129 which is large than 128"),
        ({"name": "Other"}, 102, "Duplicated search name."),
        ({"tenant_id": "nobody"}, 102, "Authorized identity."),
        ({"search_config": [1]}, 102, "search_config must be a JSON object"),
        ({"search_config": None}, 102, "search_config must be a JSON object"),
        ({"search_config": {"kb_ids": 5}}, 101, "`kb_ids` must be a list of texts, not 5."),
        ({"search_config": {"top_k": 0}}, 101, "`top_k` must be greater than 0 and at most 5000."),
        ({"search_config": {"similarity_threshold": "x"}}, 101, "`similarity_threshold` must be a number, not 'x'."),
        ({"search_config": {"chat_id": 5}}, 101, "`chat_id` must be text, not 5."),
        ({"search_config": {"llm_setting": "x"}}, 101, "`llm_setting` must be an object, not 'x'."),
    ],
)
def test_what_an_update_refuses(api, create, update, settings, fields, code, message):
    settings.WIRE_PROFILE = "standard"
    search_id = create("shop")
    create("other")
    before = detail(api, search_id)
    answer = update(search_id, **fields)
    assert (answer["code"], answer["message"]) == (code, message)
    assert detail(api, search_id) == before


def test_its_own_name_is_free(create, update):
    search_id = create("shop")
    assert update(search_id, name="SHOP")["data"]["name"] == "SHOP"


# -- who may -------------------------------------------------------------------------------------------------------


def test_strangers_find_nothing(api, other, create, update, tenant, profile):
    search_id = create("shop")
    for id_ in (search_id, "nope", "x\0y"):
        changed = update(id_, client=other)
        assert {name: changed[name] for name in DENIED} == DENIED
        removed = call(other, "rm", {"search_id": id_})
        assert {name: removed[name] for name in DENIED} == DENIED
    shown = detail(other, search_id)
    assert (shown["code"], shown["message"], shown["data"]) == (103, "Has no permission for this operation.", False)
    assert detail(other, "nope") == shown
    assert names_of(other, body={"owner_ids": [tenant.pk]}) == []
    assert SearchApp.objects.filter(pk=search_id).exists()


def test_members_of_the_team_see_but_do_not_change(api, other, create, update, tenant):
    search_id = create("shop")
    membership = Membership.objects.create(
        tenant=tenant, user=User.objects.get(pk=other.tenant.pk), is_pending=True, role="editor"
    )
    assert names_of(other) == []
    Membership.objects.filter(pk=membership.pk).update(is_pending=False)
    assert names_of(other) == ["shop"]
    assert detail(other, search_id)["code"] == 0
    assert update(search_id, client=other)["code"] == 109
    assert call(other, "rm", {"search_id": search_id})["code"] == 109


def test_removal(api, create):
    search_id = create("shop")
    assert call(api, "rm", {"search_id": search_id})["data"] is True
    assert names_of(api) == []
    assert call(api, "rm", {"search_id": search_id})["code"] == 109


# -- lists ---------------------------------------------------------------------------------------------------------


def test_pages_orders_and_filters(api, create, tenant, other):
    for name in ("banana", "apple", "Cherry"):
        create(name)
    assert names_of(api) == ["Cherry", "apple", "banana"]
    assert names_of(api, "?orderby=name&desc=False") == ["Cherry", "apple", "banana"]  # capitals first, as stored
    assert names_of(api, "?desc=FALSE") == ["banana", "apple", "Cherry"]
    assert names_of(api, "?keywords=AN") == ["banana"]
    assert names_of(api, "?page=2&page_size=2") == ["banana"]
    assert listed(api, "?page=2&page_size=2")["total"] == 3
    assert names_of(api, "?page_size=1") == ["Cherry", "apple", "banana"]
    assert names_of(api, "?page=9&page_size=2") == []
    assert names_of(api, body={"owner_ids": [tenant.pk]}) == names_of(api)
    assert names_of(api, body={"owner_ids": [other.tenant.pk]}) == []
    item = listed(api)["search_apps"][0]
    assert item.keys() == {
        "id", "avatar", "tenant_id", "name", "description", "created_by", "status", "update_time", "create_time",
        "nickname", "tenant_avatar",
    }  # fmt: skip


@pytest.mark.parametrize("query", ["?page=a&page_size=1", "?orderby=nope", "?page=-1&page_size=5"])
def test_a_bad_query_is_refused(api, profile, query):
    assert call(api, f"list{query}")["code"] == (100 if profile == "exact" else 101)


def test_a_list_costs_the_same_queries_for_any_number(api, create):
    def queries():
        with CaptureQueriesContext(connection) as captured:
            listed(api, "?page=1&page_size=50")
        return len(captured)

    create("one")
    queries()
    few = queries()
    for number in range(5):
        create(f"more {number}")
    assert queries() == few <= 5
