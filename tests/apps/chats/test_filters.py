"""Metadata filters of completions: conditions of a request, saved ones, and those that a model derives."""

from __future__ import annotations

import json
from typing import Any

import pytest

from apps.accounts import language_models
from apps.datasets.engine import doc_store
from apps.datasets.models import KnowledgeBase
from apps.documents.models import Document
from apps.documents.services.metadata import set_metadata
from ragflow.engine.ids import chunk_id
from ragflow.engine.registry import HASHING
from ragflow.engine.types import Chunk
from tests.tools.model_server import Reply

pytestmark = pytest.mark.django_db(transaction=True)

QUESTION = "Who built the red bridge?"
TEXTS = {
    "ulm.txt": "The red bridge of Ulm was built by Nord.",
    "bonn.txt": "The red bridge of Bonn was built by Weiss.",
}
METADATA = {"ulm.txt": {"city": "Ulm", "year": 1903}, "bonn.txt": {"city": "Bonn", "year": 1920}}


def having(name: str, operator: str, value: Any) -> dict[str, Any]:
    return {"conditions": [{"name": name, "comparison_operator": operator, "value": value}]}


@pytest.fixture
def documents(api, tenant):
    """Two documents with metadata in one dataset: its id, and theirs by name."""
    dataset = api.create_dataset("bridges")["id"]
    ids = {}
    for name, text in TEXTS.items():
        document = Document.objects.create(dataset_id=dataset, created_by=tenant.pk, name=name, type="doc")
        set_metadata(document=document, fields=METADATA[name])
        chunk = Chunk(
            id=chunk_id(text, document.pk),
            dataset_id=dataset,
            document_id=document.pk,
            document_name=name,
            content=text,
        )
        doc_store().upsert([chunk], language_models.embedder_for(HASHING, "").embed([text]))
        ids[name] = document.pk
    KnowledgeBase.objects.filter(pk=dataset).update(chunk_count=len(TEXTS))
    return dataset, ids


@pytest.fixture
def chat(create_chat, documents):
    return create_chat("bridges", dataset_ids=[documents[0]])["id"]


@pytest.fixture
def cited(asgi, chat, new_session):
    """Return a function that asks and returns the first letters of the documents that the answer may rest on."""
    session = new_session(chat)

    def ask(**fields: Any) -> str:
        body = {"question": QUESTION, "session_id": session, "stream": False} | fields
        reply = asgi.ask(f"/api/v1/chats/{chat}/completions", body).json
        assert reply["code"] == 0, reply
        chunks = reply["data"]["reference"].get("chunks", [])
        return "".join(sorted(chunk["document_name"][0] for chunk in chunks))

    return ask


@pytest.fixture
def save(api, chat):
    def put(saved: dict[str, Any]) -> None:
        answer = api.call("PUT", f"/api/v1/chats/{chat}", {"meta_data_filter": saved})
        assert answer["code"] == 0, answer

    return put


@pytest.mark.parametrize(
    ("condition", "documents_cited"),
    [
        (having("city", "is", "ulm"), "u"),
        (having("year", ">", 1900), "bu"),
        (having("year", ">", "1900"), ""),
        (having("city", "is", "Köln"), ""),
        ({"conditions": []}, "bu"),
        ({}, "bu"),
        (None, "bu"),
    ],
)
def test_a_condition_of_the_request(cited, profile, condition, documents_cited):
    assert cited(metadata_condition=condition) == documents_cited


def test_a_condition_and_named_documents(cited, documents, profile):
    named = {"doc_ids": documents[1]["bonn.txt"]}
    assert cited(**named) == "b"
    assert cited(metadata_condition=having("city", "is", "ulm"), **named) == ("" if profile == "standard" else "u")
    assert cited(metadata_condition=having("year", ">", 1900), **named) == ("b" if profile == "standard" else "bu")


def test_a_malformed_condition_counts_only_where_something_is_asked(asgi, chat, new_session, profile):
    path, broken = f"/api/v1/chats/{chat}/completions", {"conditions": [{"name": "city"}]}
    asked = {"session_id": new_session(chat), "question": QUESTION, "metadata_condition": broken}
    assert asgi.ask(path, asked).json["code"] == (101 if profile == "standard" else 100)
    assert asgi.ask(path, {"metadata_condition": broken, "stream": False}).json["code"] == 0


def test_a_condition_of_an_openai_client(asgi, chat):
    extra = {"reference": True, "metadata_condition": having("city", "is", "bonn")}
    body = {"model": "m", "messages": [{"role": "user", "content": QUESTION}], "stream": False, "extra_body": extra}
    reply = asgi.ask(f"/api/v1/chats_openai/{chat}/chat/completions", body).json
    names = {chunk["document_name"] for chunk in reply["choices"][0]["message"]["reference"]}
    assert names == {"bonn.txt"}


@pytest.mark.parametrize(
    ("saved", "documents_cited"),
    [
        ({}, "bu"),
        ({"method": "disabled"}, "bu"),
        ({"method": "manual", "manual": []}, "bu"),
        ({"method": "manual", "manual": [{"key": "city", "op": "=", "value": "ULM"}]}, "u"),
        ({"method": "manual", "manual": [{"key": "city", "op": "=", "value": "Köln"}]}, ""),
        (
            {
                "method": "manual",
                "logic": "or",
                "manual": [{"key": "city", "op": "=", "value": "ulm"}, {"key": "year", "op": "≥", "value": 1920}],
            },
            "bu",
        ),
        ({"method": "auto"}, "bu"),  # the extractive model follows no instructions
    ],
)
def test_a_saved_filter(cited, save, profile, saved, documents_cited):
    save(saved)
    assert cited() == documents_cited


def test_a_saved_filter_and_a_condition_both_hold(cited, save):
    save({"method": "manual", "manual": [{"key": "year", "op": "<", "value": 1910}]})
    assert cited(metadata_condition=having("city", "is", "bonn")) == ""
    assert cited(metadata_condition=having("city", "is", "ulm")) == "u"


@pytest.mark.parametrize(
    "saved",
    [
        {"method": "other"},
        {"method": "manual", "manual": "x"},
        {"method": "manual", "manual": ["x"]},
        {"method": "manual", "manual": [{"key": "city", "op": "="}]},
        {"method": "semi_auto", "semi_auto": [5]},
    ],
)
def test_a_saved_filter_that_cannot_be_read_is_never_left_out(asgi, chat, new_session, save, saved):
    save(saved)
    body = {"session_id": new_session(chat), "question": QUESTION, "stream": False}
    assert asgi.ask(f"/api/v1/chats/{chat}/completions", body).json["code"] == 101


DERIVED = json.dumps(having("city", "=", "Bonn"))


@pytest.mark.parametrize(
    ("saved", "answer", "documents_cited", "told"),
    [
        ({"method": "auto"}, DERIVED, "b", ["city", "year"]),
        ({"method": "semi_auto", "semi_auto": ["city"]}, DERIVED, "b", ["city"]),
        ({"method": "semi_auto", "semi_auto": [{"key": "year"}]}, DERIVED, "bu", ["year"]),  # city is not on offer
        ({"method": "auto"}, json.dumps(having("city", "=", "Rome")), "", ["city", "year"]),
        ({"method": "auto"}, '{"conditions": []}', "bu", ["city", "year"]),
        ({"method": "auto"}, "I cannot say.", "bu", ["city", "year"]),
    ],
)
def test_a_derived_filter(provider, cited, save, saved, answer, documents_cited, told):
    save(saved)
    provider.script(Reply(text=answer), Reply(text="Weiss."))
    assert cited() == documents_cited
    system, question = provider.exchanges[0].body["messages"]
    assert question == {"role": "user", "content": QUESTION}
    lines = [line for line in system["content"].splitlines() if line.startswith(("- city: ", "- year: "))]
    assert lines == [line for line in ('- city: "Ulm", "Bonn"', "- year: 1903, 1920") if line[2:6] in told]


def test_a_model_that_fails_to_derive_a_filter_restricts_nothing(provider, cited, save):
    save({"method": "auto"})
    provider.script(Reply(status=401), Reply(text="Weiss."))
    assert cited() == "bu"
