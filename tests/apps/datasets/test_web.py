"""/v1/kb/*: datasets under the contract's stored names."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.accounts.models import AuditEntry, Membership
from apps.datasets.models import KnowledgeBase

pytestmark = pytest.mark.django_db(transaction=True)

DENIED = {"code": 109, "message": "No authorization.", "data": False}


@pytest.fixture
def call(api):
    def send(path, body=None, method="POST", client=api):
        return client.call(method, f"/v1/kb/{path}", body)

    return send


@pytest.fixture
def create(call):
    def make(name="set", **fields):
        answer = call("create", {"name": name} | fields)
        assert (answer["code"], answer["message"]) == (0, "success"), answer
        return answer["data"]["kb_id"]

    return make


@pytest.fixture
def update(call):
    def send(kb_id, **fields):
        return call("update", {"kb_id": kb_id, "name": "set", "description": "", "parser_id": "naive"} | fields)

    return send


@pytest.fixture
def listed(call):
    def read(query="", body=None):
        return call(f"list{query}", body)["data"]

    return read


def names(page):
    return [row["name"] for row in page["kbs"]]


def without_status(answer):
    return {key: value for key, value in answer.items() if key != "status"}


# -- create --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("body", [{}, {"parser_id": "naive"}, "text", [1], None])
def test_a_name_is_required(call, profile, body):
    answer = call("create", body)
    assert without_status(answer) == {"code": 101, "message": "required argument are missing: name; ", "data": None}
    assert answer["status"] == (400 if profile == "standard" else 200)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (None, "Dataset name must be string."),
        (0, "Dataset name must be string."),
        ([], "Dataset name must be string."),
        ("", "Dataset name can't be empty."),
        (" \t\n", "Dataset name can't be empty."),
        ("a" * 129, "Dataset name length is 129 which is large than 128"),
        ("é" * 65, "Dataset name length is 65 which is large than 128"),
        (f" {'a' * 129} ", "Dataset name length is 129 which is large than 128"),
        ("a\0b", "Dataset name must not contain the character NUL."),
    ],
)
def test_names_that_cannot_be(call, profile, name, message):
    assert without_status(call("create", {"name": name})) == {"code": 102, "message": message}
    assert not KnowledgeBase.objects.exists()


@pytest.mark.parametrize("name", ["a" * 128, "é" * 64])
def test_the_longest_name(create, listed, name):
    create(f" {name} ")
    assert names(listed()) == [name]


def test_a_name_in_use_gets_a_number(create, listed):
    create("Set"), create("set"), create("SET")
    assert sorted(names(listed())) == ["SET(2)", "Set", "set(1)"]


def test_defaults(create, call):
    record = call(f"detail?kb_id={create()}", method="GET")["data"]
    config = record["parser_config"]
    assert (record["parser_id"], record["permission"], record["pagerank"]) == ("naive", "me", 0)
    assert (config["chunk_token_num"], config["delimiter"], config["topn_tags"]) == (512, "\n", 3)
    assert config["raptor"]["use_raptor"] is True
    assert config["llm_id"]


def test_what_is_sent_is_stored(create, call):
    sent = {"description": "d", "language": "Chinese", "permission": "team", "avatar": "x", "parser_id": "qa"}
    config = {"raptor": {"use_raptor": True}, "pages": None}
    record = call(f"detail?kb_id={create(**sent, parser_config=config, unknown=1)}", method="GET")["data"]
    assert {key: record[key] for key in sent} == sent
    assert record["parser_config"]["raptor"] == {"use_raptor": True}
    assert record["parser_config"]["graphrag"] == {"use_graphrag": False}
    assert record["parser_config"]["pages"] is None


@pytest.mark.parametrize(
    ("fields", "reference"),
    [
        ({"parser_id": "other"}, "KeyError('other')"),
        ({"parser_id": []}, "KeyError([])"),
        ({"parser_config": "x"}, None),
        ({"permission": "all"}, None),
        ({"description": 5}, None),
        ({"embd_id": "nothing@Nobody"}, None),
        ({"embd_id": 5}, None),
    ],
)
def test_values_that_cannot_be(call, profile, fields, reference):
    answer = call("create", {"name": "set"} | fields)
    assert answer["code"] in {100, 101}
    if reference and profile == "exact":
        assert (answer["code"], answer["message"]) == (100, reference)
    else:
        assert next(iter(fields)) in answer["message"] or "nothing" in answer["message"]
    assert not KnowledgeBase.objects.exists()


# -- update --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "values",
    [
        {"name": "new", "description": "d", "avatar": "data:x", "permission": "team", "pagerank": 100},
        *({"parser_id": method} for method in ("book", "email", "laws", "manual", "one", "paper", "picture", "tag")),
        *({"embd_id": model} for model in ("BAAI/bge-small-en-v1.5@Builtin", "embedding-3@ZHIPU-AI")),
        *({"parser_config": config} for config in ({}, {"pages": None}, {"graphrag": {"use_graphrag": False}})),
    ],
)
def test_an_update_is_echoed_and_kept(create, update, call, values):
    kb_id = create()
    answer = update(kb_id, **values)
    assert (answer["code"], answer["data"]["connectors"]) == (0, [])
    assert {key: answer["data"][key] for key in values} == values
    if "parser_config" not in values:
        record = call(f"detail?kb_id={kb_id}", method="GET")["data"]
        assert {key: record[key] for key in values} == values


@pytest.mark.parametrize("missing", ["kb_id", "name", "description", "parser_id"])
def test_an_update_needs_four_keys(call, create, missing):
    body = {"kb_id": create(), "name": "n", "description": "", "parser_id": "naive"}
    del body[missing]
    assert call("update", body)["message"] == f"required argument are missing: {missing}; "
    assert call("update", "text")["message"].startswith("required argument are missing: kb_id,name,")


@pytest.mark.parametrize(
    "key", ["id", "tenant_id", "created_by", "create_time", "update_time", "create_date", "update_date"]
)
def test_what_cannot_be_updated(create, update, key):
    answer = update(create(), **{key: "x"})
    assert without_status(answer) == {"code": 101, "message": f"Parameter {key} isn't allowed", "data": None}


def test_the_length_message_counts_blanks_on_update(create, update):
    answer = update(create(), name=f" {'a' * 129}")
    assert answer["message"] == "Dataset name length is 130 which is large than 128"


def test_names_are_unique_in_any_letter_case(create, update, profile):
    kb_id, _ = create("one"), create("two")
    assert without_status(update(kb_id, name="TWO")) == {"code": 102, "message": "Duplicated dataset name."}
    assert update(kb_id, name="ONE")["data"]["name"] == "ONE"


@pytest.mark.parametrize(
    ("fields", "code"),
    [({"colour": 1}, 100), ({"pagerank": 101}, 101), ({"pagerank": "x"}, 100), ({"connectors": [{"id": "c"}]}, 101)],
)
def test_updates_that_cannot_be(create, update, settings, fields, code):
    settings.WIRE_PROFILE = "exact"
    kb_id = create()
    assert update(kb_id, name="renamed", **fields)["code"] == code
    assert KnowledgeBase.objects.get().name == "set"


def test_what_an_update_changed_is_written_down(create, update, api):
    kb = create()
    update(kb, pagerank=5)
    update(kb, parser_config={"a": 1}, embd_id=KnowledgeBase.objects.get().embedding_model)
    entries = AuditEntry.objects.filter(action="update", object_id=kb).order_by("pk")
    common = {"name", "description", "chunk_method"}
    assert [set(entry.detail["fields"]) for entry in entries] == [
        common | {"pagerank"},
        common | {"embedding_model", "parser_config"},
    ]


def test_chunks_pin_the_embedding_model(create, update):
    kb_id = create()
    KnowledgeBase.objects.update(chunk_count=1)
    model = KnowledgeBase.objects.get().embedding_model
    assert update(kb_id, embd_id=model)["code"] == 0
    assert update(kb_id, embd_id="embedding-3@ZHIPU-AI")["code"] == 102
    assert KnowledgeBase.objects.get().embedding_model == model


@pytest.mark.parametrize("kb_id", ["", "x", None, "f" * 32])
def test_unknown_datasets(call, update, profile, kb_id):
    assert without_status(update(kb_id)) == DENIED
    assert without_status(call("rm", {"kb_id": kb_id})) == DENIED
    detail = call(f"detail?kb_id={kb_id}", method="GET")
    assert without_status(detail) == {
        "code": 103,
        "message": "Only owner of dataset authorized for this operation.",
        "data": False,
    }


# -- list and detail -----------------------------------------------------------------------------------------------


def test_a_list(create, listed, tenant, api):
    kb_id = create("one", description="d")
    page = listed()
    assert page["total"] == 1
    (row,) = page["kbs"]
    assert set(row) == {
        *("id", "avatar", "name", "language", "description", "tenant_id", "permission", "doc_num", "token_num"),
        *("chunk_num", "parser_id", "embd_id", "nickname", "tenant_avatar", "update_time"),
    }
    assert (row["id"], row["tenant_id"], row["doc_num"]) == (kb_id, tenant.pk, 0)
    api.upload(kb_id, ("a.txt", b"x"), ("b.txt", b"x"))
    assert listed()["kbs"][0]["doc_num"] == 2


@pytest.mark.parametrize(
    ("query", "expected", "total"),
    [
        ("", ["c", "b", "a"], 3),
        ("?page=1&page_size=2", ["c", "b"], 3),
        ("?page=2&page_size=2", ["a"], 3),
        ("?page=9&page_size=2", [], 3),
        ("?page_size=1000", ["c", "b", "a"], 3),
        ("?page=0&page_size=2", ["c", "b", "a"], 3),
        ("?desc=false", ["a", "b", "c"], 3),
        ("?desc=FALSE&orderby=name", ["a", "b", "c"], 3),
        ("?orderby=update_time", ["c", "b", "a"], 3),
        ("?keywords=B", ["b"], 1),
        ("?keywords=unknown", [], 0),
        ("?parser_id=qa", ["b"], 1),
        ("?id=unknown", ["c", "b", "a"], 3),
    ],
)
def test_pages_orders_and_filters(create, listed, query, expected, total):
    create("a"), create("b", parser_id="qa"), create("c")
    page = listed(query)
    assert (names(page), page["total"]) == (expected, total)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("?page=a", """ValueError("invalid literal for int() with base 10: 'a'")"""),
        ("?orderby=colour", """AttributeError("type object 'Knowledgebase' has no attribute 'colour'")"""),
    ],
)
def test_lists_that_cannot_be(call, settings, query, message):
    settings.WIRE_PROFILE = "exact"
    answer = call(f"list{query}")
    assert (answer["code"], answer["message"], answer["data"]) == (100, message, None)


def test_a_list_of_more_owners_than_a_statement_takes(create, listed, tenant):
    create("a")
    others = [str(number) for number in range(260_000)]  # SQLite takes 250,000 parameters
    assert names(listed(body={"owner_ids": [*others, tenant.pk]})) == ["a"]
    assert listed(body={"owner_ids": others})["total"] == 0


def test_lists_of_a_team(create, listed, other, tenant):
    create("mine")
    other.create_dataset("shared", permission="team"), other.create_dataset("private")
    Membership.objects.create(tenant=other.tenant, user_id=tenant.pk, role="viewer")
    assert names(listed()) == ["shared", "mine"]
    assert names(listed(body={"owner_ids": [other.tenant.pk]})) == ["shared"]
    assert names(listed(body={"owner_ids": [tenant.pk]})) == ["mine"]


@pytest.mark.parametrize("count", [1, 5])
def test_a_list_costs_the_same_however_long(create, listed, count):
    for number in range(count):
        create(f"set {number}")
    with CaptureQueriesContext(
        connection,
    ) as queries:
        listed("?page=1&page_size=10")
    reads = [query["sql"] for query in queries if query["sql"].startswith("SELECT")]
    assert len(reads) == 4, reads  # credentials, rows, their number, their owners


def test_details(create, call, api):
    kb_id = create()
    api.upload(kb_id, ("a.txt", b"four"), ("b.txt", b"xx"))
    record = call(f"detail?kb_id={kb_id}", method="GET")["data"]
    assert (record["size"], record["connectors"], record["doc_num"]) == (6, [], 2)
    assert not {"tenant_id", "created_by", "status", "create_date", "similarity_threshold"} & set(record)


def test_details_need_an_id(call, settings):
    settings.WIRE_PROFILE = "exact"
    answer = call("detail", method="GET")
    assert (answer["code"], answer["message"]) == (100, "<BadRequestKeyError '400: Bad Request'>")


def test_a_description_of_metadata(create, call):
    kb_id = create()
    described = [{"key": "author", "description": "who", "enum": ["a", "b"]}, {"key": "year"}]
    answer = call("update_metadata_setting", {"kb_id": kb_id, "metadata": described})
    assert (answer["data"]["id"], answer["data"]["parser_config"]["metadata"]) == (kb_id, described)
    assert call(f"detail?kb_id={kb_id}", method="GET")["data"]["parser_config"]["metadata"] == {
        "type": "object",
        "properties": {
            "author": {"description": "who", "enum": ["a", "b"], "type": "string"},
            "year": {"description": ""},
        },
        "additionalProperties": False,
    }


def test_a_deleted_dataset_is_gone(create, call, listed):
    kb_id = create()
    assert call("rm", {"kb_id": kb_id})["data"] is True
    assert listed() == {"kbs": [], "total": 0}
    assert without_status(call("rm", {"kb_id": kb_id})) == DENIED


def test_times_are_equal_at_creation(create):
    for number in range(20):
        create(f"set {number}")
    assert all(dataset.created_at == dataset.updated_at for dataset in KnowledgeBase.objects.all())
