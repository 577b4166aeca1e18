"""PUT /documents/{id}: steps in the contract's order, each applied at once, and what becomes of the chunks."""

from __future__ import annotations

import pytest

from apps.datasets.parser_config import defaults_of
from apps.documents.models import Document, IngestTask
from ragflow.engine.errors import StoreError


@pytest.fixture
def document(upload):
    (id_,) = upload("fox.txt")
    return id_


@pytest.fixture
def put(api, base, document):
    """Return a function that updates the document, or another one, and returns the answer."""

    def send(body=None, id_=document, **fields):
        return api.call("PUT", f"{base}/documents/{id_}", fields if body is None else body)

    return send


@pytest.fixture
def search(api, dataset):
    """Return a function that gives the contents which a question finds."""

    def ask(question):
        body = {"dataset_ids": [dataset["id"]], "question": question, "similarity_threshold": 0}
        answer = api.call("POST", "/api/v1/retrieval", body)
        assert answer["code"] == 0, answer
        return [chunk["content"] for chunk in answer["data"]["chunks"]]

    return ask


def said(answer):
    return answer["code"], answer["message"]


def test_an_update_answers_with_the_document(api, base, put, document, profile):
    answer = put(name="wolf.txt", meta_fields={"author": "Ann"}, other=1)
    assert (answer["code"], answer["status"]) == (0, 200)
    (listed,) = api.call("GET", f"{base}/documents?id={document}")["data"]["docs"]
    listed.pop("title")
    assert answer["data"] == listed
    assert (listed["name"], listed["meta_fields"], listed["run"]) == ("wolf.txt", {"author": "Ann"}, "UNSTART")


@pytest.mark.parametrize("body", [b"", b"{}"])
def test_nothing_to_update_is_a_success(api, base, document, body):
    before = Document.objects.values().get()
    answer = api.send("PUT", f"{base}/documents/{document}", body)
    assert (answer["code"], answer["data"]["id"]) == (0, document)
    assert Document.objects.values().get() == before


NOT_AN_OBJECT = """AttributeError("'str' object has no attribute 'get'")"""


def test_the_body_is_read_before_anything_else(api, profile):
    answer = api.send("PUT", "/api/v1/datasets/unknown/documents/unknown", b'"text"')
    if profile == "exact":
        assert said(answer) == (100, NOT_AN_OBJECT)
    else:
        assert said(answer) == (101, "The request body must be a JSON object, not a string.")


def test_whose_document_it_is(api, other, base, document, profile):
    refusal = (102, "You don't own the dataset.")
    assert said(other.call("PUT", f"{base}/documents/{document}", {"name": 1})) == refusal
    assert said(api.call("PUT", f"/api/v1/datasets/x/documents/{document}", {"name": 1})) == refusal
    elsewhere = api.create_dataset("elsewhere")["id"]
    foreign = api.call("PUT", f"/api/v1/datasets/{elsewhere}/documents/{document}", {"name": 1})
    assert said(foreign) == (102, "The dataset doesn't own the document.")
    assert foreign["status"] == (404 if profile == "standard" else 200)


@pytest.mark.parametrize(
    ("fields", "code", "message", "reference"),
    [
        ({"chunk_count": 1}, 102, "Can't change `chunk_count`.", None),
        ({"token_count": None}, 102, "Can't change `token_count`.", None),
        ({"progress": 0.5}, 102, "Can't change `progress`.", None),
        ({"meta_fields": "a"}, 102, "meta_fields must be a dictionary", None),
        ({"meta_fields": None}, 102, "meta_fields must be a dictionary", None),
        (
            {"name": 1},
            101,
            "`name` must be text, not 1.",
            """AttributeError("'int' object has no attribute 'encode'")""",
        ),
        (
            {"name": None},
            101,
            "`name` must be text, not None.",
            """AttributeError("'NoneType' object has no attribute 'encode'")""",
        ),
        ({"name": "é" * 126 + ".txt"}, 101, "File name must be 255 bytes or less.", None),
        ({"name": "a\0.txt"}, 101, "File name must not contain the character NUL.", None),
        ({"name": ""}, 101, "The extension of file can't be changed", None),
        ({"name": "fox"}, 101, "The extension of file can't be changed", None),
        ({"name": "fox.pdf"}, 101, "The extension of file can't be changed", None),
        ({"chunk_method": "other"}, 102, "`chunk_method` other doesn't exist", None),
        ({"chunk_method": ""}, 102, "`chunk_method`  doesn't exist", None),
        ({"chunk_method": None}, 102, "`chunk_method` None doesn't exist", None),
        ({"chunk_method": []}, 101, "`chunk_method` must be text, not [].", "TypeError(\"unhashable type: 'list'\")"),
        (
            {"enabled": "abc"},
            101,
            "`enabled` must be a whole number, not 'abc'.",
            "ValueError(\"invalid literal for int() with base 10: 'abc'\")",
        ),
        ({"parser_config": [1]}, 101, "`parser_config` must be an object, not [1].", None),
        (
            {"parser_config": {"delimiter": {"a": 1}}},
            101,
            "`parser_config.delimiter` is '\\n' now, so an object cannot be merged into it.",
            "AssertionError()",
        ),
    ],
)
def test_refusals(put, profile, fields, code, message, reference):
    before = Document.objects.values().get()
    answer = put(fields)
    if profile == "standard":
        assert (*said(answer), answer["status"]) == (code, message, 400)
    else:
        expected = (
            (100, reference or message) if code == 101 and (reference or "parser_config" in fields) else (code, message)
        )
        assert said(answer) == expected
    assert Document.objects.values().get() == before


def test_what_was_shown_may_be_sent_back(put, document_of, document):
    shown = document_of(document)
    assert put({field: shown[field] for field in ("chunk_count", "token_count", "progress", "name")})["code"] == 0


ORDER = [
    {"chunk_count": 9},
    {"token_count": 9},
    {"progress": 9},
    {"meta_fields": 9},
    {"name": 9},
    {"parser_config": 9},
    {"chunk_method": 9},
    {"enabled": "x"},
]


def test_the_order_of_the_steps(put):
    """Each mistake hides those after it, whatever their order in the body."""
    for first in range(len(ORDER)):
        mistakes = {key: value for step in reversed(ORDER[first:]) for key, value in step.items()}
        assert next(iter(ORDER[first])) in put(mistakes)["message"]


def test_a_failing_step_does_not_undo_those_before_it(put, document_of, document):
    answer = put(meta_fields={"a": 1}, name="new.txt", parser_config={"delimiter": "!"}, chunk_method="nothing")
    assert answer["code"] == 102
    changed = document_of(document)
    assert (changed["meta_fields"], changed["name"], changed["parser_config"]["delimiter"]) == (
        {"a": 1},
        "new.txt",
        "!",
    )


def test_metadata_is_replaced_not_merged(put):
    assert put(meta_fields={"a": 1})["data"]["meta_fields"] == {"a": 1}
    assert put(meta_fields={"b": [1, {"c": None}]})["data"]["meta_fields"] == {"b": [1, {"c": None}]}
    assert put(meta_fields={})["data"]["meta_fields"] == {}


# -- name ----------------------------------------------------------------------------------------------------------


def test_a_name_in_use(put, upload, profile):
    upload("wolf.txt")
    answer = put(name="wolf.txt")
    assert said(answer) == (102, "Duplicated document name in the same dataset.")
    assert answer["status"] == (409 if profile == "standard" else 200)
    assert put(name="WOLF.TXT")["data"]["name"] == "WOLF.TXT"
    assert put(name="WOLF.TXT")["code"] == 0


def test_the_same_name_in_another_dataset_is_free(api, put):
    elsewhere = api.create_dataset("elsewhere")["id"]
    api.upload(elsewhere, ("wolf.txt", b"x"))
    assert put(name="wolf.txt")["code"] == 0


@pytest.mark.parametrize("name", ["a" * 251 + ".txt", "!#$%&'()+,-.;=@[]^`{}~.txt", "狐狸.TXT", " .txt", "fox.pdf.txt"])
def test_odd_names_are_kept_as_they_are(put, document_of, document, name):
    before = document_of(document)
    assert put(name=name)["data"]["name"] == name
    after = document_of(document)
    assert (after["suffix"], after["location"]) == (before["suffix"], before["location"])


def test_an_old_name_is_free_for_uploads_and_a_new_one_is_not(api, dataset, put):
    put(name="wolf.txt")
    names = [row["name"] for row in api.upload(dataset["id"], ("fox.txt", b""), ("Wolf.txt", b""))]
    assert names == ["fox.txt", "Wolf(1).txt"]


def test_chunks_are_found_by_the_new_name(api, base, parsed, put, search):
    id_ = parsed("vulpine.txt")
    path = f"{base}/documents/{id_}/chunks"
    assert put(id_=id_, name="canine.txt")["code"] == 0
    assert api.call("GET", f"{path}?keywords=vulpine")["data"]["total"] == 0
    (chunk,) = api.call("GET", f"{path}?keywords=canine")["data"]["chunks"]
    assert chunk["docnm_kwd"] == "canine.txt"
    assert len(search("canine")) == 1


def test_a_store_that_is_away_is_made_to_follow_by_the_same_request(
    put, parsed, store, dataset, monkeypatch, api, base
):
    id_ = parsed("vulpine.txt")
    with monkeypatch.context() as patch:

        def away(*_):
            raise StoreError("The disk of the document store is full.")

        patch.setattr(type(store), "rename_document", away)
        answer = put(id_=id_, name="canine.txt")
        assert (answer["message"], answer["status"]) == ("The disk of the document store is full.", 500)
    assert put(id_=id_, name="canine.txt")["code"] == 0
    assert api.call("GET", f"{base}/documents/{id_}/chunks?keywords=canine")["data"]["total"] == 1


# -- parser configuration ------------------------------------------------------------------------------------------


def test_the_sequence_of_raptor(put, dataset):
    default = dataset["parser_config"]
    assert put(parser_config=default)["data"]["parser_config"] == default
    for other in ({"chunk_token_num": 8}, {"delimiter": ""}, {"pages": "all"}, {"new": {"a": [1]}}):
        config = put(parser_config=other)["data"]["parser_config"]
        assert "raptor" not in config
        assert config | other == config
    nested = {"use_raptor": {"a": {"b": 1}}}
    assert put(parser_config={"raptor": nested})["data"]["parser_config"]["raptor"] == nested
    off = {"use_raptor": False}
    assert put(parser_config={"raptor": off})["data"]["parser_config"]["raptor"] == off


def test_objects_are_merged_and_all_else_is_replaced(put):
    graph = put(parser_config={"graphrag": {"method": "general", "entity_types": ["a"]}})["data"]["parser_config"][
        "graphrag"
    ]
    assert graph == {"use_graphrag": True, "method": "general", "entity_types": ["a"]}
    assert put(parser_config={"graphrag": 5})["data"]["parser_config"]["graphrag"] == 5


@pytest.mark.parametrize("nothing", [{}, None, 0, ""])
def test_an_empty_configuration_changes_nothing(put, dataset, nothing):
    assert put(parser_config=nothing)["data"]["parser_config"] == dataset["parser_config"]


@pytest.mark.parametrize("body", [{"chunk_method": "naive", "parser_config": {}}, {"chunk_method": "naive"}])
def test_the_defaults_of_the_method_it_has_change_nothing(put, dataset, body):
    data = put(body)["data"]
    assert (data["parser_config"], data["chunk_method"]) == (dataset["parser_config"], "naive")


@pytest.mark.parametrize("method", ["manual", "qa", "table", "laws", "knowledge_graph", "tag"])
def test_another_method_brings_its_defaults(put, dataset, method):
    data = put(chunk_method=method)["data"]
    assert data["chunk_method"] == method
    kept = {name: value for name, value in dataset["parser_config"].items() if name != "raptor"}
    for name, value in defaults_of(method).items():
        kept[name] = {**kept.get(name, {}), **value} if isinstance(value, dict) else value
        if name == "raptor":
            kept[name] = {**dataset["parser_config"]["raptor"], **value}
    assert data["parser_config"] == kept


def test_a_configuration_that_comes_with_a_method_stands_alone(put, dataset):
    config = put(chunk_method="qa", parser_config={"delimiter": "!"})["data"]["parser_config"]
    expected = dataset["parser_config"] | {"delimiter": "!"}
    expected.pop("raptor")
    assert config == expected


# -- chunk method --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.png", "a.pptx", "a.ppt", "a.pages"])
def test_files_that_are_cut_one_way_only(put, upload, name, profile):
    (id_,) = upload(name)
    answer = put(id_=id_, chunk_method="naive")
    assert said(answer) == (102, "Not supported yet!")


def test_another_method_takes_the_document_back_to_the_start(put, parsed, counts, store, dataset, document_of):
    id_ = parsed()
    assert counts()[1] == 1
    data = put(id_=id_, chunk_method="qa")["data"]
    assert (data["run"], data["progress"], data["progress_msg"]) == ("UNSTART", 0.0, "")
    assert (data["chunk_count"], data["token_count"]) == (0, 0)
    assert counts()[1:] == (0, 0)
    assert store.count(dataset["id"]).chunks == 0


def test_the_same_method_leaves_chunks_alone(put, parsed, counts):
    id_ = parsed()
    data = put(id_=id_, chunk_method="naive")["data"]
    assert (data["run"], data["chunk_count"], counts()[1]) == ("DONE", 1, 1)


def test_another_method_takes_the_task_from_its_worker(api, base, put, document, run_tasks, counts, store, dataset):
    api.call("POST", f"{base}/chunks", {"document_ids": [document]})
    assert put(chunk_method="one")["data"]["run"] == "UNSTART"
    assert run_tasks() == 0
    assert IngestTask.objects.get().state == "cancelled"
    api.call("POST", f"{base}/chunks", {"document_ids": [document]})
    assert run_tasks() == 1
    assert counts()[1] == store.count(dataset["id"]).chunks == 1


# -- availability --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("sent", "status"), [(0, "0"), ("0", "0"), (False, "0"), (1, "1"), ("1", "1"), (True, "1")])
def test_values_of_enabled(put, sent, status):
    assert put(enabled=sent)["data"]["status"] == status


def test_a_disabled_document_is_not_found_until_it_is_enabled(api, base, put, parsed, search):
    id_ = parsed()
    assert search("fox")
    put(id_=id_, enabled=0)
    assert search("fox") == []
    path = f"{base}/documents/{id_}/chunks"
    assert [chunk["available"] for chunk in api.call("GET", path)["data"]["chunks"]] == [False]
    api.call("POST", path, {"content": "A fox that was added."})
    assert search("fox") == []
    put(id_=id_, enabled=1)
    assert len(search("fox")) == 2


def test_a_document_that_is_parsed_while_it_is_disabled_is_not_found(api, base, put, parsed, run_tasks, search):
    id_ = parsed()
    put(id_=id_, enabled=0)
    api.call("POST", f"{base}/chunks", {"document_ids": [id_]})
    run_tasks()
    assert search("fox") == []
    put(id_=id_, enabled=1)
    assert len(search("fox")) == 1
