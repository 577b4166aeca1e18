"""GET /api/v1/datasets."""

from __future__ import annotations

import uuid

import pytest
from django.db import connection

from apps.accounts.models import Membership
from apps.core.principal import Principal
from apps.datasets.models import KnowledgeBase
from apps.datasets.selectors import counted, listed_datasets

PATH = "/api/v1/datasets"


@pytest.fixture
def five(api):
    return [api.create_dataset(f"set {number}") for number in range(5)]


def names(answer):
    assert answer["code"] == 0, answer
    return [dataset["name"] for dataset in answer["data"]]


def join(api, other, *, is_pending=False):
    Membership.objects.create(tenant=other.tenant, user_id=api.tenant.pk, is_pending=is_pending)


def test_a_new_account_has_none(api, profile):
    assert api.call("GET", PATH) == {"code": 0, "data": [], "total_datasets": 0, "status": 200}


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", [4, 3, 2, 1, 0]),
        ("?desc=false", [0, 1, 2, 3, 4]),
        ("?page=2&page_size=2", [2, 1]),
        ("?page=3&page_size=2", [0]),
        ("?page=9&page_size=2", []),
        ("?page=99999999999999999999&page_size=99999999999999999999", []),
        ("?page_size=2000&orderby=update_time", [4, 3, 2, 1, 0]),
        ("?name=", [4, 3, 2, 1, 0]),
        ("?name=SET%202", [2]),
        ("?page=1&page=2&page_size=2", [4, 3]),
    ],
)
def test_pages_and_order(api, five, query, expected):
    answer = api.call("GET", PATH + query)
    assert names(answer) == [f"set {number}" for number in expected]
    assert answer["total_datasets"] == (1 if "name=SET" in query else 5)


def test_order_by_the_last_change(api, five):
    api.call("PUT", f"{PATH}/{five[1]['id']}", {"description": "new"})
    assert names(api.call("GET", f"{PATH}?orderby=update_time"))[0] == "set 1"
    assert names(api.call("GET", PATH))[0] == "set 4"


def test_by_id_and_name(api, five):
    first, second = five[0], five[1]
    assert names(api.call("GET", f"{PATH}?id={first['id']}")) == ["set 0"]
    assert names(api.call("GET", f"{PATH}?id={first['id']}&name=set 0")) == ["set 0"]
    assert names(api.call("GET", f"{PATH}?id={first['id']}&name={second['name']}")) == []


@pytest.mark.parametrize("field", ["id", "name"])
def test_what_is_not_the_callers_does_not_exist(api, other, profile, field):
    foreign = other.create_dataset("foreign")
    unknown = uuid.uuid1().hex if field == "id" else "unknown"
    for value in (foreign[field], unknown):
        answer = api.call("GET", f"{PATH}?{field}={value}")
        assert answer["code"] == 108
        assert answer["message"] == f"User '{api.tenant.pk}' lacks permission for dataset '{value}'"
        assert answer["status"] == (403 if profile == "standard" else 200)


def test_a_dashed_id_is_looked_up_as_it_is(api, five):
    assert api.call("GET", f"{PATH}?id={uuid.UUID(five[0]['id'])}")["code"] == 108


def test_a_name_with_nul_is_not_found(api):
    assert api.call("GET", f"{PATH}?name=a%00b")["code"] == 108


def test_a_team_sees_what_is_shared_with_it(api, other):
    shared, private = other.create_dataset("shared", permission="team"), other.create_dataset("private")
    assert names(api.call("GET", PATH)) == []
    join(api, other, is_pending=True)
    assert names(api.call("GET", PATH)) == []
    Membership.objects.all().filter(user_id=api.tenant.pk, tenant=other.tenant).delete()
    join(api, other)
    assert names(api.call("GET", PATH)) == ["shared"]
    assert names(api.call("GET", f"{PATH}?id={shared['id']}")) == ["shared"]
    assert names(api.call("GET", f"{PATH}?id={private['id']}")) == []


def test_own_and_shared_datasets_lie_on_the_same_pages(api, other, five):
    other.create_dataset("shared", permission="team")
    join(api, other)
    pages = [api.call("GET", f"{PATH}?page={number}&page_size=2") for number in (1, 2, 3)]
    assert [names(page) for page in pages] == [["shared", "set 4"], ["set 3", "set 2"], ["set 1", "set 0"]]
    assert {page["total_datasets"] for page in pages} == {6}


@pytest.mark.skipif(connection.vendor != "sqlite", reason="other databases count rows by themselves")
def test_a_page_of_own_datasets_is_read_along_an_index_in_its_order(api, five):
    principal = Principal(tenant_id=api.tenant.pk, user_id=api.tenant.pk)
    rows, total = counted(principal, listed_datasets(principal))
    plan = rows.order_by("-created_at", "pk")[2:4].explain()
    assert total == 5
    assert "INDEX dataset_listed" in plan
    assert "TEMP B-TREE" not in plan


def test_what_is_being_deleted_is_not_listed(api, five):
    from django.utils import timezone

    KnowledgeBase.objects.filter(name="set 3").update(deleted_at=timezone.now())
    assert names(api.call("GET", PATH)) == ["set 4", "set 2", "set 1", "set 0"]
    assert api.create_dataset("set 3")["name"] == "set 3"


@pytest.mark.parametrize("count", [1, 12])
def test_the_number_of_queries_does_not_grow(api, django_assert_num_queries, count):
    for _ in range(count):
        api.create_dataset()
    api.call("GET", PATH)  # the first request of a token notes its use
    with django_assert_num_queries(3):  # token with its owner, count, page
        api.call("GET", PATH)
