"""Metadata that a model reads from documents while they are parsed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from apps.accounts import language_models
from apps.documents.extraction import fields_of
from apps.documents.models import Document, MetadataValue
from apps.documents.services.metadata import set_metadata
from ragflow.engine.generation.metadata import MetadataField
from ragflow.engine.registry import HASHING, ModelSettings
from tests.tools.model_server import ModelServer, Reply

WANTED = {"enable_metadata": True, "metadata": [{"key": "author", "description": "Who wrote it"}, {"key": "tags"}]}


@pytest.fixture
def provider(settings, engine):
    with ModelServer() as server:
        settings.MODELS = ModelSettings(
            api_key="key", base_url=server.url, chat_model="scripted@OpenAI", embedding_model=HASHING
        )
        language_models.registry.reset()
        yield server


@pytest.fixture
def parse(api, base, upload, run_tasks):
    """Return a function that parses a document with this configuration and metadata, and returns its row."""

    def run(config: dict[str, Any], fields: dict[str, Any] | None = None) -> Document:
        (id_,) = upload("report.txt", content=b"A report by Alice about bridges.")
        document = Document.objects.get(pk=id_)
        document.parser_config |= config
        document.save()
        set_metadata(document=document, fields=fields or {})
        assert api.call("POST", f"{base}/chunks", {"document_ids": [id_]})["code"] == 0
        run_tasks()
        document.refresh_from_db()
        assert document.state == Document.State.DONE, document.progress_message
        assert "Task done" in document.progress_message.splitlines()[-1]
        return document

    return run


def test_what_the_model_finds_is_merged(provider, parse):
    provider.script(Reply(text=json.dumps({"author": "Alice", "tags": ["bridge", "old"], "other": "x"})))
    document = parse(WANTED, {"author": "nobody", "tags": ["old", 5], "kept": 1})
    assert document.meta_fields == {"author": "Alice", "tags": ["old", 5, "bridge"], "kept": 1}
    assert set(MetadataValue.objects.values_list("key", "value")) == {
        ("author", '"Alice"'),
        ("tags", '"old"'),
        ("tags", "5"),
        ("tags", '"bridge"'),
        ("kept", "1"),
    }
    assert "Metadata extracted: author, tags." in document.progress_message
    rules, text = provider.exchanges[0].body["messages"]
    assert "- author: Who wrote it" in rules["content"]
    assert text["content"] == "A report by Alice about bridges."


@pytest.mark.parametrize("reply", [Reply(status=404, message="no such model"), Reply(status=401)])
def test_a_failing_model_fails_no_document(provider, parse, reply):
    provider.script(reply)
    document = parse(WANTED, {"a": 1})
    assert document.meta_fields == {"a": 1}
    assert "No metadata was extracted: " in document.progress_message


def test_a_model_without_instructions_is_not_asked(parse):
    assert "follows no instructions" in parse(WANTED).progress_message


@pytest.mark.parametrize(
    "config", [{}, {"enable_metadata": False, "metadata": WANTED["metadata"]}, {"enable_metadata": True}]
)
def test_nothing_is_asked_unless_wanted(provider, parse, config):
    assert "etadata" not in parse(config).progress_message
    assert not provider.exchanges


@pytest.mark.parametrize(
    ("definition", "fields"),
    [
        ([{"key": " a ", "description": "d", "enum": ["x", 5]}], [MetadataField("a", "d", ("x", "5"))]),
        (
            {"type": "object", "properties": {"a": {"description": "d"}, "b": {"items": {"enum": ["x"]}}, "c": 5}},
            [MetadataField("a", "d"), MetadataField("b", "", ("x",))],
        ),
        (
            [{"key": 5}, {"description": "d"}, "a", {"key": ""}, {"key": "b", "items": 5, "enum": "x"}],
            [MetadataField("b")],
        ),
        ({"properties": []}, []),
        ("text", []),
        (None, []),
    ],
)
def test_the_two_ways_to_define_fields(definition, fields):
    assert list(fields_of({"enable_metadata": True, "metadata": definition})) == fields
