"""Passages from the web: what is asked of Tavily, what is taken from its answer, and what becomes of its failures."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from ragflow.engine.http import Endpoint
from ragflow.engine.retrieval import web
from ragflow.engine.retrieval.web import WebSearch, documents_of
from tests.tools.model_server import ModelServer, Reply

KEY = "tvly-planted-secret"
PAGE = {"url": "https://example.org/nord", "title": "Clara Nord", "content": "She built bridges.", "score": 0.9}


@pytest.fixture
def server() -> Iterator[ModelServer]:
    with ModelServer() as server:
        yield server


def search(server: ModelServer, text: str = "who built it", *replies: Reply) -> Any:
    server.script(*replies)
    return asyncio.run(WebSearch(Endpoint(server.url, KEY))(text))


def pages(*found: Any) -> Reply:
    return Reply(endpoint="web", pages=list(found))


def test_a_page_becomes_a_passage(server):
    (passage,) = search(server, "who\n built it", pages(PAGE))
    (exchange,) = server.exchanges
    assert exchange.headers["authorization"] == f"Bearer {KEY}"
    assert exchange.body == {"query": "who built it", "search_depth": "advanced", "max_results": 6}
    assert (passage.url, passage.similarity, passage.chunk.content) == (PAGE["url"], 0.9, PAGE["content"])
    assert (passage.chunk.document_name, passage.chunk.dataset_id) == ("Clara Nord", "")
    assert len(passage.chunk.document_id) == 32


def test_ids_tell_pages_and_texts_apart(server):
    same_page, other_page = PAGE | {"content": "More."}, PAGE | {"url": "https://example.org/other"}
    first, second, third = search(server, "x", pages(PAGE, same_page, other_page))
    assert len({passage.chunk.id for passage in (first, second, third)}) == 3
    assert first.chunk.document_id == second.chunk.document_id != third.chunk.document_id
    assert [(item.url, item.count) for item in documents_of((first, second, third))] == [
        (PAGE["url"], 2), (other_page["url"], 1),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "result",
    [
        "text",
        PAGE | {"content": " "},
        PAGE | {"content": None},
        PAGE | {"url": "javascript:alert(1)"},
        PAGE | {"url": "file:///etc/passwd"},
        PAGE | {"url": "https://["},
        {"title": "nothing else"},
    ],
)
def test_what_is_no_page_is_left_out(server, result):
    assert [passage.url for passage in search(server, "x", pages(result, PAGE))] == [PAGE["url"]]


def test_odd_values_do_no_harm(server):
    (passage,) = search(server, "x", pages(PAGE | {"title": None, "score": "high", "content": "a\0b"}))
    assert (passage.chunk.document_name, passage.similarity, passage.chunk.content) == (PAGE["url"], 0.0, "ab")


def test_a_long_or_empty_question(server):
    search(server, "word " * 1000)
    assert len(server.exchanges[0].body["query"]) <= 400
    assert search(server, " \n") == ()
    assert len(server.exchanges) == 1


def test_no_more_than_were_asked_for(server):
    many = [PAGE | {"content": f"Text {number}."} for number in range(20)]
    assert len(search(server, "x", pages(*many))) == 6


@pytest.mark.parametrize(
    "reply",
    [
        Reply(status=401, message=f"The key {KEY} is wrong"),
        Reply(status=429, headers={"Retry-After": "60"}),
        Reply(raw="<html>"),
        Reply(raw="[]"),
        Reply(raw=json.dumps({"results": "none"})),
    ],
)
def test_a_failure_finds_nothing_and_is_logged_without_the_key(server, reply, caplog):
    with caplog.at_level(logging.WARNING):
        assert search(server, "x", reply) == ()
    assert "The web was not searched" in caplog.text
    assert KEY not in caplog.text


def test_a_silent_service_is_not_waited_for(server, monkeypatch, caplog):
    monkeypatch.setattr(web, "SECONDS", 0.2)
    assert search(server, "x", Reply(hang_after=-1)) == ()
    assert "The web was not searched" in caplog.text
