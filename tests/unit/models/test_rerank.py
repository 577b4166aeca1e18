"""Rerank models over real HTTP."""

import json
from typing import Any

import pytest

from ragflow.engine.errors import ModelError
from ragflow.engine.rerank.http import HttpReranker
from tests.tools.model_server import ModelServer, Reply

TEXTS = ["steam turbine", "clay oven", "an oven of clay"]


def reranker(server: ModelServer, **options: int) -> HttpReranker:
    return HttpReranker("scripted", server.url, "key", name="scripted@OpenAI", **options)


def test_scores_follow_the_texts_whatever_the_order_of_the_results(server: ModelServer) -> None:
    server.script(Reply(scores=[0.1, 0.9, 0.5], shuffled=True))
    assert reranker(server).rerank("oven", TEXTS) == [0.1, 0.9, 0.5]
    assert server.exchanges[0].path == "/v1/rerank"
    assert server.exchanges[0].body == {"model": "scripted", "query": "oven", "documents": TEXTS, "top_n": 3}


@pytest.mark.parametrize(
    "raw",
    [
        '[{"index": 1, "score": 0.5}, {"index": 0, "score": 0.25}]',
        '{"data": [{"index": 0, "relevance_score": 0.25}, {"index": 1, "relevance_score": 0.5}]}',
    ],
)
def test_other_servers_shapes_are_understood(server: ModelServer, raw: str) -> None:
    server.script(Reply(raw=raw))
    assert reranker(server).rerank("oven", TEXTS[:2]) == [0.25, 0.5]


def test_logits_become_scores_in_order(server: ModelServer) -> None:
    server.script(Reply(scores=[-1000.0, 8.5, 0.0]))
    low, high, middle = reranker(server).rerank("oven", TEXTS)
    assert 0.0 <= low < 0.01 < middle == 0.5 < 0.99 < high <= 1.0


def test_logits_are_recognised_over_all_batches(server: ModelServer) -> None:
    server.script(Reply(scores=[0.2, 0.7]), Reply(scores=[4.0]))
    first, second, third = reranker(server, batch=2).rerank("oven", TEXTS)
    assert 0.5 < first < second < third < 1.0


def test_blank_texts_score_zero_and_are_not_sent(server: ModelServer) -> None:
    server.script(Reply(scores=[0.75]))
    assert reranker(server).rerank("oven", ["", "clay oven", "  "]) == [0.0, 0.75, 0.0]
    assert server.exchanges[0].body["documents"] == ["clay oven"]
    assert reranker(server).rerank("oven", []) == []


def test_passing_failures_are_tried_again(server: ModelServer) -> None:
    server.script(Reply(status=503), Reply(scores=[0.75]))
    assert reranker(server).rerank("oven", ["clay"]) == [0.75]


@pytest.mark.parametrize(
    "reply",
    [
        Reply(count=2),
        Reply(raw="{}"),
        Reply(raw='{"results": [{"index": 0}]}'),
        Reply(raw='{"results": null}'),
        Reply(raw='{"results": "none"}'),
        Reply(raw="7"),
    ],
)
def test_garbage_is_a_model_error(server: ModelServer, reply: Reply) -> None:
    server.script(reply)
    with pytest.raises(ModelError) as caught:
        reranker(server).rerank("oven", TEXTS)
    assert caught.value.code == "MODEL_ERROR"


@pytest.mark.parametrize(
    ("style", "path", "body"),
    [
        ("voyage", "/v1/rerank", {"model": "scripted", "query": "oven", "documents": TEXTS, "top_k": 3}),
        ("tei", "/v1/rerank", {"query": "oven", "texts": TEXTS}),
        (
            "dashscope",
            "/v1/services/rerank/text-rerank/text-rerank",
            {"model": "scripted", "input": {"query": "oven", "documents": TEXTS}, "parameters": {"top_n": 3}},
        ),
    ],
)
def test_providers_are_asked_in_their_own_way(server: ModelServer, style: str, path: str, body: dict[str, Any]) -> None:
    results = [{"index": index, "relevance_score": score} for index, score in enumerate((0.1, 0.9, 0.5))]
    server.script(Reply(raw=json.dumps({"output": {"results": results}} if style == "dashscope" else results)))
    model = HttpReranker("scripted", server.url, "key", name="scripted@X", style=style)
    assert model.rerank("oven", TEXTS) == [0.1, 0.9, 0.5]
    assert (server.exchanges[0].path, server.exchanges[0].body) == (path, body)


async def test_a_check_asks_once_and_wants_a_score(server: ModelServer) -> None:
    server.script(Reply(), Reply(raw="{}"), Reply(status=503))
    model = HttpReranker("scripted", server.url, "key", name="scripted@X", patience=0)
    await model.acheck("oven", "clay")
    for _ in range(2):
        with pytest.raises(ModelError):
            await model.acheck("oven", "clay")
    assert len(server.exchanges) == 3
