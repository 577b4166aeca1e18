"""POST, PUT and DELETE of chunks: checks in the contract's order, what is stored, found and counted."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import pytest
from django.db import connection

from apps.accounts.models import Membership, User
from apps.documents.models import Document
from ragflow.engine.embedding.hashing import HashingEmbedder
from ragflow.engine.errors import ModelError
from ragflow.engine.ids import chunk_id

Role = Membership.Role


@pytest.fixture
def document(upload):
    (id_,) = upload("vulpine.txt")
    return id_


@pytest.fixture
def path(base, document):
    return f"{base}/documents/{document}/chunks"


@pytest.fixture
def add(api, path):
    """Return a function that adds a chunk and returns it as the answer shows it."""

    def send(content, **fields):
        answer = api.call("POST", path, {"content": content} | fields)
        assert answer["code"] == 0, answer
        return answer["data"]["chunk"]

    return send


@pytest.fixture
def put(api, path):
    return lambda chunk, **fields: api.call("PUT", f"{path}/{chunk['id']}", fields)


@pytest.fixture
def delete(api, path):
    return lambda *ids: api.call("DELETE", path, {"chunk_ids": [*ids]})


@pytest.fixture
def listed(api, path):
    """Return a function that gives what a list shows of one field, and checks its total."""

    def read(field="content", query=""):
        data = api.call("GET", path + query)["data"]
        assert data["total"] == len(data["chunks"])
        return [chunk[field] for chunk in data["chunks"]]

    return read


@pytest.fixture
def search(api, dataset):
    def ask(question, **fields):
        body = {"dataset_ids": [dataset["id"]], "question": question} | fields
        answer = api.call("POST", "/api/v1/retrieval", body)
        assert answer["code"] == 0, answer
        return [chunk["content"] for chunk in answer["data"]["chunks"]]

    return ask


def said(answer):
    return answer["code"], answer["message"]


# -- add -----------------------------------------------------------------------------------------------------------


def test_an_added_chunk_as_the_contract_shows_it(add, document, dataset, listed, api, path):
    chunk = add(" The fox. \n", important_keywords=["a", "", "a"], questions=[" Who? ", "  ", "How?"])
    moment = chunk.pop("create_timestamp")
    assert chunk.pop("create_time") == datetime.fromtimestamp(moment).strftime("%Y-%m-%d %H:%M:%S")  # noqa: DTZ006
    assert chunk == {
        "id": chunk_id(" The fox. \n", document),
        "content": " The fox. \n",
        "document_id": document,
        "dataset_id": dataset["id"],
        "important_keywords": ["a", "", "a"],
        "questions": ["Who?", "How?"],
    }
    shown = api.call("GET", path)["data"]["chunks"][0]
    assert {name: shown[name] for name in chunk} == chunk
    assert (shown["available"], shown["positions"], shown["docnm_kwd"]) == (True, [], "vulpine.txt")


@pytest.mark.parametrize(
    ("body", "code", "message", "reference"),
    [
        ({}, 102, "`content` is required", None),
        ({"content": ""}, 102, "`content` is required", None),
        ({"content": " \n\t"}, 102, "`content` is required", None),
        ({"content": None, "important_keywords": 1}, 102, "`important_keywords` is required to be a list", None),
        ({"content": 1, "important_keywords": None}, 102, "`important_keywords` is required to be a list", None),
        ({"content": 1, "questions": "abc"}, 102, "`questions` is required to be a list", None),
        (
            {"content": None, "important_keywords": [1]},
            101,
            "`content` must be text, not None.",
            """TypeError("unsupported operand type(s) for +: 'NoneType' and 'str'")""",
        ),
        (
            {"content": 12},
            101,
            "`content` must be text, not 12.",
            """TypeError("unsupported operand type(s) for +: 'int' and 'str'")""",
        ),
        (
            {"content": [], "questions": [1]},
            101,
            "`content` must be text, not [].",
            "TypeError('can only concatenate list (not \"str\") to list')",
        ),
        (
            {"content": "a", "important_keywords": ["b", 1], "questions": [None]},
            101,
            "`important_keywords` must hold text only, not 1.",
            "TypeError('sequence item 1: expected str instance, int found')",
        ),
        (
            {"content": "a", "questions": [None]},
            101,
            "`questions` must hold text only, not None.",
            "TypeError('sequence item 0: expected str instance, NoneType found')",
        ),
    ],
)
def test_chunks_that_cannot_be_added(api, path, listed, counts, profile, body, code, message, reference):
    answer = api.call("POST", path, body)
    if profile == "standard":
        assert (*said(answer), answer["status"]) == (code, message, 400)
    else:
        assert said(answer) == ((100, reference) if reference else (code, message))
    assert listed() == []
    assert counts()[1:] == (0, 0)


def test_where_a_chunk_can_be_added(api, other, base, path, document, dataset):
    assert said(other.call("POST", path, {})) == (102, f"You don't own the dataset {dataset['id']}.")
    assert said(api.call("POST", f"{base}/documents/x/chunks", {})) == (102, "You don't own the document x.")
    api.call("DELETE", f"{base}/documents", {"ids": [document]})
    assert said(api.call("POST", path, {"content": "a"})) == (102, f"You don't own the document {document}.")


def test_added_chunks_are_found_by_their_own_words_only(add, search, listed):
    contents = ["FOO_BAR_TEST_1_99", "FOO_BAR_TEST_2_99", "item 7", "item 17", "!?"]
    for content in contents:
        add(content)
    assert search("FOO_BAR_TEST_2_99")[0] == "FOO_BAR_TEST_2_99"
    assert set(search("FOO_BAR_TEST")) == {"FOO_BAR_TEST_1_99", "FOO_BAR_TEST_2_99"}
    assert listed(query="?keywords=7") == ["item <em>7</em>"]
    assert listed(query="?keywords=vulpine") == listed(query="?keywords=ite") == []


def test_keywords_and_questions_weigh_in_the_ranking(add, search, listed):
    add("saturn is mentioned here among many other planets")
    add("A ring.", important_keywords=["saturn"])
    add("A moon.", questions=["Which planet is saturn?"])
    assert set(listed(query="?keywords=saturn")[:2]) == {"A ring.", "A moon."}
    assert set(search("saturn", similarity_threshold=0)) >= {"A ring.", "A moon."}


def test_the_vector_is_a_tenth_of_the_name_and_the_questions_or_else_the_content(add, store, dataset):
    plain, asked = add("red apple"), add("green pear", questions=["Which fruit?", "What colour?"])
    vectors = store.vectors([dataset["id"]], [plain["id"], asked["id"]])
    name, content, questions = HashingEmbedder().embed(["vulpine.txt", "red apple", "Which fruit?\nWhat colour?"])
    for chunk, text in ((plain, content), (asked, questions)):
        expected = 0.1 * name + 0.9 * text
        np.testing.assert_allclose(vectors[chunk["id"]], expected / np.linalg.norm(expected), atol=1e-6)


def test_newest_first_after_the_parsed_ones(api, base, parsed):
    path = f"{base}/documents/{parsed()}/chunks"
    for content in ("one", "two", "three"):
        api.call("POST", path, {"content": content})
    contents = [chunk["content"] for chunk in api.call("GET", path)["data"]["chunks"]]
    assert contents == ["The quick brown fox jumps over the lazy dog.", "three", "two", "one"]


def test_counters_of_chunks_added_twice(add, document_of, document, counts, store, dataset, listed, profile):
    first = add("The same text.")
    again = add("The same text.", questions=["Other?"])
    assert first["id"] == again["id"]
    assert listed("questions") == [["Other?"]]
    grown = 1 if profile == "standard" else 2
    shown = document_of(document)
    assert (shown["chunk_count"], shown["token_count"]) == counts()[1:] == (grown, 4 * grown)
    found = store.count(dataset["id"])
    assert profile == "exact" or counts()[1:] == (found.chunks, found.tokens)


def test_a_model_that_fails_leaves_nothing(api, path, listed, counts, monkeypatch, profile):
    def fail(*_):
        assert not connection.savepoint_ids  # in no transaction but the test's own
        raise ModelError("The model is overloaded.", code="RATE_LIMIT_EXCEEDED")

    monkeypatch.setattr(HashingEmbedder, "embed", fail)
    answer = api.call("POST", path, {"content": "a"})
    assert said(answer) == (100, "The model is overloaded.")
    assert answer["status"] == (502 if profile == "standard" else 200)
    assert listed() == []
    assert counts()[1] == 0


def test_nothing_is_stored_for_a_document_deleted_while_the_model_works(
    api, base, path, document, dataset, store, monkeypatch
):
    embed = HashingEmbedder.embed

    def slow(self, texts):
        api.call("DELETE", f"{base}/documents", {"ids": [document]})
        return embed(self, texts)

    monkeypatch.setattr(HashingEmbedder, "embed", slow)
    assert said(api.call("POST", path, {"content": "a"})) == (102, f"You don't own the document {document}.")
    assert store.count(dataset["id"]).chunks == 0


# -- update --------------------------------------------------------------------------------------------------------


def test_every_field_can_change(add, put, api, path, document):
    chunk = add("old words", important_keywords=["k"], questions=["q?"])
    changes = {
        "content": "new words",
        "important_keywords": ["x", ""],
        "questions": [" y? ", " "],
        "available": False,
        "positions": [[1, 2, 3, 4, 5], [2, 0, -7, 0, 1]],
        "other": 1,
    }
    assert put(chunk, **changes) == {"code": 0, "status": 200}
    (shown,) = api.call("GET", path)["data"]["chunks"]
    expected = {
        "id": chunk["id"],
        "content": "new words",
        "important_keywords": ["x", ""],
        "questions": ["y?"],
        "available": False,
        "positions": changes["positions"],
    }
    assert {name: shown[name] for name in expected} == expected


@pytest.mark.parametrize("body", [b"", b"{}", b'{"content": null}', b'{"id": "x", "document_id": 1}'])
def test_an_update_without_changes(api, add, path, body):
    chunk = add("words", important_keywords=["k"], questions=["q?"])
    before = api.call("GET", path)
    assert api.send("PUT", f"{path}/{chunk['id']}", body)["code"] == 0
    assert api.call("GET", path) == before


def test_an_updated_chunk_is_found_as_it_is_now(
    add, put, search, listed, store, dataset, counts, document_of, document
):
    chunk = add("zebra")
    put(chunk, content="A giraffe is tall and eats leaves.", important_keywords=["neck"])
    assert search("zebra") == []
    assert search("giraffe") == search("neck", similarity_threshold=0) == ["A giraffe is tall and eats leaves."]
    name, text = HashingEmbedder().embed(["vulpine.txt", "A giraffe is tall and eats leaves."])
    mixed = 0.1 * name + 0.9 * text
    vector = store.vectors([dataset["id"]], [chunk["id"]])[chunk["id"]]
    np.testing.assert_allclose(vector, mixed / np.linalg.norm(mixed), atol=1e-6)
    found = store.count(dataset["id"])
    assert counts()[1:] == (found.chunks, found.tokens) == (1, document_of(document)["token_count"])


@pytest.mark.parametrize(
    ("body", "code", "message", "reference"),
    [
        ({"important_keywords": "a"}, 102, "`important_keywords` should be a list", None),
        (
            {"important_keywords": [1], "questions": 1},
            101,
            "`important_keywords` must hold text only, not 1.",
            "TypeError('sequence item 0: expected str instance, int found')",
        ),
        ({"questions": None}, 102, "`questions` should be a list", None),
        (
            {"questions": ["a", 2], "available": "x"},
            101,
            "`questions` must hold text only, not 2.",
            "TypeError('sequence item 1: expected str instance, int found')",
        ),
        (
            {"available": "True", "positions": 1},
            101,
            "`available` must be a whole number, not 'True'.",
            "ValueError(\"invalid literal for int() with base 10: 'True'\")",
        ),
        ({"positions": {}}, 102, "`positions` should be a list", None),
        (
            {"content": 5},
            101,
            "`content` must be text, not 5.",
            "TypeError(\"unsupported operand type(s) for +: 'int' and 'str'\")",
        ),
    ],
)
def test_updates_that_cannot_be(api, add, path, profile, body, code, message, reference):
    chunk = add("words")
    before = api.call("GET", path)
    answer = api.call("PUT", f"{path}/{chunk['id']}", body)
    if profile == "standard":
        assert (*said(answer), answer["status"]) == (code, message, 400)
    else:
        assert said(answer) == ((100, reference) if reference else (code, message))
    assert api.call("GET", path) == before


@pytest.mark.parametrize(
    "positions",
    [
        *([[1, 2, 3, 4]], [[]], [1], [None], ["abcde"], [[1, 2, 3, 4, 5], [1, 2, 3, 4, "5"]], [[1, 2, 3, 4, 1.5]]),
        *([[1, 1, 1, 1, 2**60]], [[True, 1, 1, 1, 1]]),
    ],
)
def test_positions_that_a_list_could_not_show(api, add, put, path, profile, positions):
    chunk = add("words")
    answer = put(chunk, positions=positions)
    assert answer["code"] == (101 if profile == "standard" else 100)
    assert answer["message"].startswith("`positions` must hold lists of five whole numbers")
    assert api.call("GET", path)["data"]["total"] == 1


@pytest.mark.parametrize("positions", [[], [[0, 0, 0, 0, 0]], [[3, 1, 2, 1, 2], [-1, 0, 0, 0, 0]]])
def test_positions_are_kept_as_they_were_sent(api, add, put, path, positions):
    assert put(add("words"), positions=positions)["code"] == 0
    assert api.call("GET", path)["data"]["chunks"][0]["positions"] == positions


@pytest.mark.parametrize(("sent", "shown"), [(True, True), (False, False), (1, True), (0, False), ("0", False)])
def test_available(add, put, listed, search, sent, shown):
    chunk = add("words to find")
    assert put(chunk, available=sent)["code"] == 0
    assert listed("available") == [shown]
    assert search("words") == (["words to find"] if shown else [])


def test_the_chunk_is_named_before_dataset_and_document(api, other, base, path, dataset, add, document):
    chunk = add("words")
    gone = (102, "Can't find this chunk nothing")
    assert said(api.call("PUT", f"{path}/nothing", {"questions": 1})) == gone
    assert said(api.call("PUT", "/api/v1/datasets/x/documents/y/chunks/nothing")) == gone
    wrong = f"/api/v1/datasets/x/documents/{document}/chunks/{chunk['id']}"
    assert said(api.call("PUT", wrong)) == (102, "You don't own the dataset x.")
    assert said(api.call("PUT", f"{base}/documents/y/chunks/{chunk['id']}")) == (102, "You don't own the document y.")
    foreign = f"{path}/{chunk['id']}"
    assert said(other.call("PUT", foreign)) == (102, f"Can't find this chunk {chunk['id']}")
    elsewhere = api.create_dataset("elsewhere")["id"]
    (stray,) = api.upload(elsewhere, ("a.txt", b"a"))
    wrong = f"/api/v1/datasets/{elsewhere}/documents/{stray['id']}/chunks/{chunk['id']}"
    assert said(api.call("PUT", wrong)) == (102, f"Can't find this chunk {chunk['id']}")
    api.call("DELETE", f"{base}/documents", {"ids": [document]})
    assert said(api.call("PUT", foreign)) == (102, f"Can't find this chunk {chunk['id']}")


def test_a_chunk_deleted_while_the_model_works_does_not_come_back(add, put, delete, listed, counts, monkeypatch):
    chunk, embed = add("words"), HashingEmbedder.embed

    def slow(self, texts):
        delete(chunk["id"])
        return embed(self, texts)

    monkeypatch.setattr(HashingEmbedder, "embed", slow)
    assert said(put(chunk, content="more")) == (102, f"Can't find this chunk {chunk['id']}")
    assert listed() == []
    assert counts()[1:] == (0, 0)


def test_two_that_change_different_fields_both_take_effect(add, put, api, path, store, dataset, monkeypatch):
    chunk, embed, calls = add("words"), HashingEmbedder.embed, []

    def slow(self, texts):
        calls.append(texts)
        if len(calls) == 1:
            put(chunk, questions=["Which?"])
        return embed(self, texts)

    monkeypatch.setattr(HashingEmbedder, "embed", slow)
    assert put(chunk, content="other words")["code"] == 0
    (shown,) = api.call("GET", path)["data"]["chunks"]
    assert (shown["content"], shown["questions"]) == ("other words", ["Which?"])
    assert calls[-1] == ["Which?"]  # the vector stands for what is stored


def test_an_updated_part_of_a_larger_chunk_stands_for_itself(api, base, parsed, search):
    api.call("PUT", base, {"parser_config": {"delimiter": "`###`", "children_delimiter": "`;`"}})
    text = b"The red fox sleeps; the grey wolf hunts; the brown bear eats."
    document = parsed("animals.txt", text)
    path = f"{base}/documents/{document}/chunks"
    chunk = api.call("GET", path)["data"]["chunks"][0]
    assert api.call("PUT", f"{path}/{chunk['id']}", {"content": "The badger digs."})["code"] == 0
    assert search("badger") == ["The badger digs."]


PAIRS = [
    ("What is it?\tA fox.", "Question: What is it?\tAnswer: A fox."),
    ("What is it?\nA fox.", "Question: What is it?\tAnswer: A fox."),
    ("Q: What?\n\nx\nanswer : A fox.", "Question: What?\tAnswer: A fox."),
    ("Question: What?\tAnswer: A fox.", "Question: What?\tAnswer: A fox."),
    ("问题：这是什么？\n狐狸。", "问题：这是什么？\t回答：狐狸。"),
]


@pytest.mark.parametrize(("content", "stored"), PAIRS)
def test_chunks_of_pairs_are_labelled(api, base, document, add, put, listed, content, stored):
    api.call("PUT", f"{base}/documents/{document}", {"chunk_method": "qa"})
    chunk = add("anything")
    assert put(chunk, content=content)["code"] == 0
    assert listed() == [stored]
    assert put(chunk, available=0)["code"] == 0


@pytest.mark.parametrize("content", ["one piece", "a\tb", "one\ttwo\tthree", "", "\n\t"])
def test_what_is_no_pair(api, base, document, add, put, listed, content):
    api.call("PUT", f"{base}/documents/{document}", {"chunk_method": "qa"})
    chunk = add("anything")
    assert said(put(chunk, content=content)) == (102, "Q&A must be separated by TAB/ENTER key.")
    assert listed() == ["anything"]


@pytest.mark.parametrize("content", ["\n!?\"'", "   ", "", "line\tone\0"])
def test_odd_content_is_kept(add, put, listed, content):
    chunk = add("words")
    assert put(chunk, content=content)["code"] == 0
    assert listed() == [content]


# -- delete --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("body", [b"", b"{}", b'{"chunk_ids": []}', b'{"other": 1}'])
def test_all_chunks_of_a_document(api, base, path, parsed, add, counts, body):
    kept = parsed()
    for number in range(3):
        add(f"chunk {number}")
    assert api.send("DELETE", path, body) == {"code": 0, "status": 200}
    assert api.call("GET", path)["data"]["total"] == 0
    assert api.call("GET", f"{base}/documents/{kept}/chunks")["data"]["total"] == counts()[1] == 1
    assert api.send("DELETE", path, body)["code"] == 0


def test_some_chunks(add, delete, listed, search, counts, document_of, document):
    chunks = [add(f"common word {number}") for number in range(5)]
    assert delete(chunks[0]["id"]) == {"code": 0, "status": 200}
    assert delete(chunks[1]["id"], chunks[2]["id"]) == {"code": 0, "status": 200}
    assert listed() == ["common word 4", "common word 3"]
    assert set(search("common")) == {"common word 4", "common word 3"}
    assert counts()[1:] == (2, document_of(document)["token_count"]) == (2, 8)


def test_unknown_chunks_are_counted_and_the_known_are_deleted(add, delete, listed, profile):
    chunk, kept = add("one"), add("two")
    answer = delete("unknown", chunk["id"])
    assert said(answer) == (102, "rm_chunk deleted chunks 1, expect 2")
    assert answer["status"] == (404 if profile == "standard" else 200)
    assert listed("id") == [kept["id"]]
    assert said(delete(chunk["id"])) == (102, "rm_chunk deleted chunks 0, expect 1")


def test_ids_that_come_twice(add, delete, listed):
    one, two = add("one")["id"], add("two")["id"]
    data = {"success_count": 2, "errors": [f"Duplicate chunk ids: {one}"]}
    assert delete(one, two, one) == {"code": 0, "data": data, "status": 200}
    assert listed() == []


def test_chunks_of_another_document_stay(api, base, parsed, delete):
    kept = f"{base}/documents/{parsed()}/chunks"
    chunk = api.call("GET", kept)["data"]["chunks"][0]["id"]
    assert said(delete(chunk)) == (102, "rm_chunk deleted chunks 0, expect 1")
    assert api.call("GET", kept)["data"]["total"] == 1


@pytest.mark.parametrize(
    ("value", "sentence", "reference"),
    [
        (None, "`chunk_ids` must be a list of ids.", """TypeError("'NoneType' object is not iterable")"""),
        (5, "`chunk_ids` must be a list of ids.", """TypeError("'int' object is not iterable")"""),
        ("abc", "`chunk_ids` must be a list of ids.", "`chunk_ids` must be a list of ids."),
        ({}, "`chunk_ids` must be a list of ids.", "`chunk_ids` must be a list of ids."),
        ([5], "`chunk_ids` must hold ids only, not 5.", "`chunk_ids` must hold ids only, not 5."),
    ],
)
def test_lists_that_are_none(api, add, path, listed, profile, value, sentence, reference):
    add("one")
    answer = api.call("DELETE", path, {"chunk_ids": value})
    assert said(answer) == ((101, sentence) if profile == "standard" else (100, reference))
    assert listed() == ["one"]


def test_where_chunks_can_be_deleted(api, other, base, path, document, dataset, profile):
    assert said(other.call("DELETE", path)) == (102, f"You don't own the dataset {dataset['id']}.")
    answer = api.call("DELETE", f"{base}/documents/x/chunks", {"chunk_ids": None})
    sentence = "Can't find the document with ID x!"
    expected = (102, sentence) if profile == "standard" else (100, repr(LookupError(sentence)))
    assert said(answer) == expected


def test_a_thousand_chunks_in_one_call(add, delete, listed, counts, store, dataset, document):
    ids = [add(f"chunk number {number}")["id"] for number in range(450)]
    assert counts()[1] == 450
    assert delete(*ids)["code"] == 0
    assert store.count(dataset["id"]).chunks == counts()[1] == counts()[2] == 0


def test_deleting_what_a_run_has_stored_so_far_takes_no_counter_below_zero(
    api, base, path, document, store, dataset, counts, run_tasks
):
    api.call("POST", f"{base}/chunks", {"document_ids": [document]})
    Document.objects.update(state=Document.State.RUNNING)
    run_tasks()
    Document.objects.update(chunk_count=0, token_count=0)  # as while a run has not ended
    before = counts()
    assert api.call("DELETE", path)["code"] == 0
    assert counts() == before


# -- team ----------------------------------------------------------------------------------------------------------


def test_a_team_reads_and_its_editors_write(api, new_client, path, add, dataset):
    chunk = add("shared words")

    def member(role):
        client = new_client()
        Membership.objects.create(tenant=api.tenant, user=User.objects.get(pk=client.tenant.pk), role=role)
        return client

    viewer, editor = member(Role.VIEWER), member(Role.EDITOR)
    assert viewer.call("GET", path)["data"]["total"] == 1
    assert viewer.call("GET", f"{path}?id={chunk['id']}")["data"]["total"] == 1
    refusal = (102, f"You don't own the dataset {dataset['id']}.")
    assert said(viewer.call("POST", path, {"content": "a"})) == refusal
    assert said(viewer.call("PUT", f"{path}/{chunk['id']}", {"content": "a"})) == refusal
    assert said(viewer.call("DELETE", path)) == refusal
    assert editor.call("PUT", f"{path}/{chunk['id']}", {"content": "edited words"})["code"] == 0
    assert editor.call("POST", path, {"content": "more"})["code"] == 0
    assert editor.call("DELETE", path, {"chunk_ids": [chunk["id"]]})["code"] == 0
    assert api.call("GET", path)["data"]["total"] == 1


# -- cost ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [1, 5])
def test_a_list_costs_the_same_queries_for_any_number_of_chunks(api, add, path, number, django_assert_num_queries):
    for n in range(number):
        add(f"chunk {n}")
    with django_assert_num_queries(3):  # token with its owner, dataset, document
        api.call("GET", path)
