"""POST /api/v1/retrieval: checks in the contract's order, and what is found."""

from __future__ import annotations

import uuid

import pytest

from apps.accounts import language_models
from apps.datasets.models import KnowledgeBase
from ragflow.engine.embedding.hashing import HashingEmbedder
from ragflow.engine.errors import ModelError
from ragflow.engine.registry import HASHING, ModelSettings
from tests.tools.model_server import ModelServer, Reply

PATH = "/api/v1/retrieval"


@pytest.fixture
def filled(api, base, parsed):
    """Two documents: one with four chunks about bridges, one about something else."""
    api.call("PUT", base, {"parser_config": {"delimiter": "`###`"}})
    text = "###".join(f"The bridge is {word}." for word in ("old", "new", "long", "red"))
    return parsed("first.txt", text.encode()), parsed("second.txt", b"Cats sleep all day long in the sun.")


@pytest.fixture
def ask(api, dataset):
    def send(question="bridge", **fields):
        return api.call("POST", PATH, {"dataset_ids": [dataset["id"]], "question": question} | fields)

    return send


def found(answer):
    assert answer["code"] == 0, answer
    return [chunk["content"] for chunk in answer["data"]["chunks"]]


def test_an_answer_as_the_contract_shows_it(ask, filled, dataset, profile):
    data = ask("cats")["data"]
    (chunk,) = [chunk for chunk in data["chunks"] if "Cats" in chunk["content"]]
    assert set(chunk) == {
        "id", "content", "content_ltks", "document_id", "document_keyword", "dataset_id", "important_keywords",
        "image_id", "positions", "similarity", "vector_similarity", "term_similarity", "doc_type_kwd", "mom_id",
        "highlight",
    }  # fmt: skip
    assert chunk["document_keyword"] == "second.txt"
    assert chunk["highlight"].startswith("<em>Cats</em> sleep")
    assert chunk["term_similarity"] == 1
    assert 0.2 <= chunk["similarity"] <= 1
    assert data["doc_aggs"][0] == {"doc_id": filled[1], "doc_name": "second.txt", "count": 1}
    assert data["total"] == len(data["chunks"])


@pytest.mark.parametrize(
    ("fields", "count"),
    [
        ({}, 4),
        ({"unknown": 1, "rerank_id": None, "cross_languages": None, "metadata_condition": None}, 4),
        ({"vector_similarity_weight": 0}, 4),
        ({"vector_similarity_weight": 0.5}, 4),
        ({"vector_similarity_weight": "0.5", "similarity_threshold": "0.2", "top_k": "5"}, 4),
        ({"top_k": 1}, 4),
        ({"page_size": 3}, 3),
        ({"page": 2, "page_size": 2}, 2),
        ({"page": "3", "page_size": 2}, 0),
        ({"similarity_threshold": 1.1}, 0),
        ({"use_kg": True, "toc_enhance": True}, 4),
        ({"keyword": True, "cross_languages": ["German"]}, 4),
        ({"document_ids": []}, 4),
    ],
)
def test_what_matches_as_text_is_found(ask, filled, fields, count, settings):
    settings.WIRE_PROFILE = "exact"
    contents = found(ask(**fields))
    assert len(contents) == count
    assert all("bridge" in content for content in contents)


def test_only_the_documents_that_are_named(ask, filled):
    assert len(found(ask("bridge cats", document_ids=[filled[0]]))) == 4
    assert len(found(ask("bridge cats", document_ids=[filled[1]]))) == 1


@pytest.mark.parametrize(("highlight", "marked"), [(True, True), (None, True), ("False", False), ("false", False)])
def test_highlighting(ask, filled, profile, highlight, marked):
    chunks = ask(highlight=highlight)["data"]["chunks"]
    assert {"highlight" in chunk for chunk in chunks} == {marked}


def test_false_switches_highlighting_off_except_for_the_reference(ask, filled, profile):
    chunks = ask(highlight=False)["data"]["chunks"]
    assert {"highlight" in chunk for chunk in chunks} == {profile == "exact"}


@pytest.mark.parametrize("question", ["", None, "   "])
def test_an_empty_question_finds_nothing(ask, filled, question):
    assert ask(question)["data"] == {"total": 0, "chunks": [], "doc_aggs": {}}


def test_no_hit(ask, filled):
    assert ask("zebra", similarity_threshold=0.9)["data"] == {"total": 0, "chunks": [], "doc_aggs": []}


def test_a_dataset_with_a_higher_pagerank_comes_first(api, ask, filled, dataset, run_tasks):
    important = api.create_dataset("important")["id"]
    (document,) = api.upload(important, ("third.txt", b"A bridge."))
    api.call("POST", f"/api/v1/datasets/{important}/chunks", {"document_ids": [document["id"]]})
    run_tasks()
    both = {"dataset_ids": [dataset["id"], important]}
    api.call("PUT", f"/api/v1/datasets/{dataset['id']}", {"pagerank": 100})
    assert found(ask(**both))[-1] == "A bridge."
    api.call("PUT", f"/api/v1/datasets/{dataset['id']}", {"pagerank": 0})
    api.call("PUT", f"/api/v1/datasets/{important}", {"pagerank": 100})
    assert found(ask(**both))[0] == "A bridge."


@pytest.mark.parametrize(
    ("body", "message", "status"),
    [
        ({}, "`dataset_ids` is required.", 400),
        ({"dataset_ids": [], "document_ids": ["x"]}, "`dataset_ids` is required.", 400),
        ({"dataset_ids": "x"}, "`dataset_ids` should be a list", 400),
        ({"dataset_ids": ["x"]}, "You don't own the dataset x.", 404),
        ({"dataset_ids": [{}]}, "You don't own the dataset {}.", 404),
        ({"question": None}, None, 200),
        ({"document_ids": None, "question": "x"}, "`documents` should be a list", 400),
        ({"document_ids": ["x"], "question": "x"}, "The datasets don't own the document x", 404),
        ({"document_ids": [{}], "question": "x"}, "The datasets don't own the document {}", 404),
        (
            {"document_ids": ["x"], "question": 5, "top_k": "a", "rerank_id": 3, "similarity_threshold": "a"},
            "The datasets don't own the document x",
            404,
        ),
        ({"other": 1}, "`question` is required.", 400),
    ],
)
def test_mistakes(api, dataset, profile, body, message, status):
    if body and "dataset_ids" not in body:
        body = {"dataset_ids": [dataset["id"]]} | body
    answer = api.call("POST", PATH, body)
    if message is None:
        assert answer["code"] == 0
        return
    assert answer == {"code": 102, "message": message, "status": status if profile == "standard" else 200}


@pytest.mark.parametrize(
    ("fields", "sentence", "reference"),
    [
        (
            {"page": "a"},
            "`page` must be a whole number, not 'a'.",
            "ValueError(\"invalid literal for int() with base 10: 'a'\")",
        ),
        (
            {"page_size": None},
            "`page_size` must be a whole number, not None.",
            repr(TypeError("int() argument must be a string, a bytes-like object or a real number, not 'NoneType'")),
        ),
        (
            {"similarity_threshold": "a"},
            "`similarity_threshold` must be a number, not 'a'.",
            "ValueError(\"could not convert string to float: 'a'\")",
        ),
        ({"vector_similarity_weight": "nan"}, "`vector_similarity_weight` must be a finite number.", None),
        ({"top_k": -1}, "`top_k` must be greater than 0.", None),
        ({"top_k": 5001}, "`top_k` must not exceed 5000.", None),
        (
            {"page": 0},
            "`page` and `page_size` must be at least 1.",
            "ValueError('Search does not support negative slicing.')",
        ),
        ({"question": 3}, "`question` must be text, not 3.", None),
        ({"rerank_id": 3}, "`rerank_id` must be the name of a model, not 3.", None),
        ({"cross_languages": "German"}, "`cross_languages` must be a list of languages.", None),
    ],
)
def test_values_that_cannot_be_read(ask, filled, profile, fields, sentence, reference):
    answer = ask(**fields)
    if profile == "standard":
        assert answer == {"code": 101, "message": sentence, "data": None, "status": 400}
    else:
        assert answer == {"code": 100, "message": reference or sentence, "data": None, "status": 200}


def test_datasets_with_different_models(api, ask, dataset):
    second = api.create_dataset(embedding_model="all-MiniLM-L6-v2@Builtin")["id"]
    answer = ask(dataset_ids=[dataset["id"], second])
    assert (answer["code"], answer["message"]) == (102, 'Datasets use different embedding models."')


def test_a_model_that_is_not_there(ask, filled, dataset, profile):
    answer = ask(rerank_id="nobody@Nowhere")
    text = "Model(nobody@Nowhere@None) not authorized"
    assert (answer["code"], answer["message"]) == (100, text if profile == "standard" else f"LookupError('{text}')")


def test_a_failing_model_provider(ask, filled, monkeypatch, profile):
    def fail(_self, _text):
        raise ModelError("The provider does not answer.", code="TIMEOUT")

    monkeypatch.setattr(HashingEmbedder, "embed_query", fail)
    answer = ask()
    assert (answer["code"], answer["message"]) == (100, "The provider does not answer.")
    assert answer["status"] == (502 if profile == "standard" else 200)


class Reversing:
    name = "reversing"

    def rerank(self, query, texts):
        return [1.0 if "red" in text else 0.0 for text in texts]


def test_reranking(ask, filled, monkeypatch):
    monkeypatch.setattr("apps.documents.views.retrieval.reranker_for", lambda _name, _tenant_id: Reversing())
    assert found(ask(rerank_id="any", vector_similarity_weight=0.9))[0] == "The bridge is red."


@pytest.fixture
def chat_model(settings, engine):
    """A scripted provider whose chat model is the default one."""
    with ModelServer() as server:
        settings.MODELS = ModelSettings(
            api_key="key", base_url=server.url, chat_model="scripted@OpenAI", embedding_model=HASHING
        )
        language_models.registry.reset()
        yield server


def test_a_chat_model_names_keywords_and_translates(chat_model, ask, filled, settings):
    settings.WIRE_PROFILE = "exact"
    chat_model.script(Reply(text="sun, nap"))
    assert len(found(ask("bridge", keyword="False"))) == 5
    chat_model.script(Reply(text="cats"))
    assert found(ask("Katzen", cross_languages=["English"])) == ["Cats sleep all day long in the sun."]
    assert "English" in str(chat_model.exchanges[-1].body)
    assert found(ask("", keyword=True, cross_languages=["English"])) == []
    assert len(chat_model.exchanges) == 2


def test_a_search_does_without_a_chat_model_that_fails(chat_model, ask, filled, settings):
    settings.WIRE_PROFILE = "exact"
    chat_model.script(*[Reply(status=400)] * 4)
    assert len(found(ask("bridge", keyword=True, cross_languages=["German"]))) == 4


def test_deleted_documents_are_not_found(api, base, ask, filled):
    api.call("DELETE", f"{base}/documents", {"ids": [filled[0]]})
    assert all("bridge" not in content for content in found(ask()))


def test_foreign_datasets_and_documents(api, other, ask, dataset, filled, profile):
    foreign = other.create_dataset()["id"]
    (document,) = other.upload(foreign, ("a.txt", b"x"))
    for ids in ([foreign], [dataset["id"], foreign], [dataset["id"], uuid.uuid1().hex]):
        answer = ask(dataset_ids=ids)
        assert (answer["code"], answer["message"]) == (102, f"You don't own the dataset {ids[-1]}.")
    answer = ask(document_ids=[document["id"]])
    assert answer["message"] == f"The datasets don't own the document {document['id']}"


def test_a_body_that_is_no_object(api, profile):
    answer = api.send("POST", PATH, b'"text"')
    assert answer["code"] == (101 if profile == "standard" else 100)


def test_the_number_of_queries(ask, filled, django_assert_num_queries):
    ask()
    with django_assert_num_queries(2):  # token with its owner, datasets
        ask()
    assert KnowledgeBase.objects.count() == 1
