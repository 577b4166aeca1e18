"""Embedding models over real HTTP."""

import asyncio
import threading
from typing import Any

import numpy as np
import pytest

from ragflow.engine import http
from ragflow.engine.embedding.openai import OpenAIEmbedder
from ragflow.engine.errors import DimensionMismatch, ModelError
from ragflow.engine.tokens import count_tokens
from tests.tools.model_server import ModelServer, Reply, embed_words

KEY = "sk-test-0123456789"


def embedder(server: ModelServer, **options: Any) -> OpenAIEmbedder:
    return OpenAIEmbedder("scripted", server.url, KEY, name="scripted@OpenAI", **options)


def unit(text: str, dimension: int = 64) -> np.ndarray:
    vector = np.array(embed_words(text, dimension), np.float32)
    return vector / np.linalg.norm(vector)


@pytest.mark.parametrize("reply", [Reply(), Reply(shuffled=True), Reply(base64=True)], ids=["list", "order", "base64"])
def test_rows_follow_the_texts_and_have_unit_length(server: ModelServer, reply: Reply) -> None:
    server.script(reply)
    model = embedder(server)
    vectors = model.embed(["clay oven", "steam turbine", "clay"])
    np.testing.assert_allclose(vectors, [unit("clay oven"), unit("steam turbine"), unit("clay")], atol=1e-6)
    assert vectors.dtype == np.float32
    assert model.dimension == 64


def test_texts_go_in_batches(server: ModelServer) -> None:
    texts = [f"text {number}" for number in range(7)]
    vectors = embedder(server, batch=3).embed(texts)
    assert [exchange.body["input"] for exchange in server.exchanges] == [texts[:3], texts[3:6], texts[6:]]
    np.testing.assert_allclose(vectors[6], unit("text 6"), atol=1e-6)


def test_blank_texts_are_not_sent_and_get_zero_rows(server: ModelServer) -> None:
    vectors = embedder(server).embed(["", "clay", " \n"])
    assert server.exchanges[0].body["input"] == ["clay"]
    assert [bool(row.any()) for row in vectors] == [False, True, False]


def test_only_blank_texts_need_no_request(server: ModelServer) -> None:
    assert embedder(server).embed(["", " "]).shape[0] == 2
    assert embedder(server).embed([]).shape[0] == 0
    assert not server.exchanges


def test_overlong_text_is_cut_to_what_providers_accept(server: ModelServer) -> None:
    embedder(server, max_tokens=10).embed(["clay " * 50, "short"])
    long, short = server.exchanges[0].body["input"]
    assert (count_tokens(long), short) == (10, "short")


async def test_queries_work_on_and_off_the_event_loop(server: ModelServer) -> None:
    model = embedder(server)
    np.testing.assert_allclose(await model.aembed_query("clay"), unit("clay"), atol=1e-6)
    np.testing.assert_allclose(await asyncio.to_thread(model.embed_query, "clay"), unit("clay"), atol=1e-6)
    assert not (await model.aembed_query(" ")).any()
    assert len(server.exchanges) == 2


async def test_a_server_on_this_machine_is_not_asked_through_a_proxy(
    server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(variable, "http://127.0.0.1:9")
    assert (await embedder(server).aembed_query("clay")).any()


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_passing_failures_are_tried_again(server: ModelServer, asynchronous: bool) -> None:
    server.script(Reply(status=429, headers={"Retry-After": "0"}), Reply(status=500))
    model = embedder(server)
    vector = await model.aembed_query("clay") if asynchronous else await asyncio.to_thread(model.embed_query, "clay")
    np.testing.assert_allclose(vector, unit("clay"), atol=1e-6)
    assert len(server.exchanges) == 3


def test_a_wait_too_long_for_a_person_is_an_error_at_once(server: ModelServer) -> None:
    server.script(Reply(status=429, headers={"Retry-After": "30"}))
    with pytest.raises(ModelError) as caught:
        embedder(server).embed_query("clay")
    assert (caught.value.code, caught.value.retry_after) == ("RATE_LIMIT_EXCEEDED", 30)


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (Reply(status=401, message=f"Wrong key {KEY}"), "AUTH_ERROR"),
        (Reply(status=400), "INVALID_REQUEST"),
        (Reply(count=1), "MODEL_ERROR"),
        (Reply(raw="oops"), "MODEL_ERROR"),
        (Reply(raw="[]"), "MODEL_ERROR"),
        (Reply(raw='{"data": [{"embedding": "not base64!"}, {"embedding": ""}]}'), "MODEL_ERROR"),
        (Reply(raw='{"data": [{"embedding": [[1]]}, {"embedding": [1]}]}'), "MODEL_ERROR"),
        (Reply(raw='{"data": [{"embedding": [1, null]}, {"embedding": [1, 2]}]}'), "MODEL_ERROR"),
        (Reply(raw='{"data": [{"embedding": [1e39]}, {"embedding": [1]}]}'), "MODEL_ERROR"),
        (Reply(raw='{"data": [{"embedding": []}, {"embedding": []}]}'), "MODEL_ERROR"),
        (Reply(raw='{"data": [{"embedding": [1]}, {"embedding": [1, 2]}]}'), "MODEL_ERROR"),
        (Reply(raw='{"data": [{"index": 0, "embedding": [1]}, {"index": 0, "embedding": [1]}]}'), "MODEL_ERROR"),
        (Reply(raw='{"error": {"message": "No such model"}}'), "MODEL_ERROR"),
    ],
)
def test_garbage_is_a_model_error_with_a_sentence(server: ModelServer, reply: Reply, code: str) -> None:
    server.script(reply)
    with pytest.raises(ModelError) as caught:
        embedder(server).embed(["clay", "oven"])
    assert caught.value.code == code
    assert str(caught.value).endswith(".")
    assert KEY not in str(caught.value)
    assert len(server.exchanges) == 1


def test_a_dimension_that_changes_is_an_error(server: ModelServer) -> None:
    model = embedder(server)
    model.embed(["clay"])
    server.script(Reply(dimension=32))
    with pytest.raises(DimensionMismatch, match="32 instead of 64"):
        model.embed(["clay"])
    assert model.dimension == 64


def test_a_hanging_provider_ends_in_timeout(server: ModelServer) -> None:
    server.script(Reply(hang_after=-1))
    with pytest.raises(ModelError) as caught:
        embedder(server, timeout=0.2).embed(["clay"])
    assert caught.value.code == "TIMEOUT"
    assert len(server.exchanges) == 1


def test_threads_share_the_client(server: ModelServer) -> None:
    model = embedder(server)
    results: dict[int, np.ndarray] = {}

    def work(number: int) -> None:
        results[number] = model.embed([f"text {number}", "clay"])

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number, vectors in results.items():
        np.testing.assert_allclose(vectors, [unit(f"text {number}"), unit("clay")], atol=1e-6)
    assert len(results) == 8


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("3", 3.0), ("0.5", 0.5), ("-1", 0.0), ("soon", None), ("", None), ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0)],
)
def test_retry_after_is_seconds_or_a_date(value: str, seconds: float | None) -> None:
    endpoint = http.Endpoint("http://127.0.0.1/v1")
    assert http.status_error(endpoint, 429, "", {"retry-after": value}).retry_after == seconds


def test_a_placeholder_for_a_key_does_not_garble_messages() -> None:
    endpoint = http.Endpoint("http://127.0.0.1:9", "none")
    assert str(http.status_error(endpoint, 404, "none of these", {})).endswith(": none of these.")


def test_messages_hold_no_secrets_and_no_pages() -> None:
    endpoint = http.Endpoint("http://user:password@127.0.0.1:9/v1", "topsecretkey")
    assert "topsecretkey" not in repr(endpoint)
    error = http.status_error(endpoint, 500, "<html><body>Bad gateway</body></html>", {})
    assert str(error) == "The model provider at 127.0.0.1:9 answered with status 500."
    for body in ('{"error": {"message": "key topsecretkey or sk-abcdef0123"}}', "key topsecretkey or sk-abcdef0123"):
        assert str(http.status_error(endpoint, 401, body, {})).endswith("answered with status 401: key *** or ***.")
