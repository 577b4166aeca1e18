"""Chat models over real HTTP: what arrives, what fails how, and what the provider sees."""

import asyncio
import gc
import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import httpx2
import pytest

from ragflow.engine import http, http_stream
from ragflow.engine.errors import ModelError
from ragflow.engine.llm.complete import complete
from ragflow.engine.llm.openai import OpenAIChatModel
from ragflow.engine.types import Message, ModelEvent, ReasoningDelta, TextDelta, Usage
from tests.tools.model_server import ModelServer, Reply

KEY = "sk-test-0123456789"
QUESTION = [Message("system", "Be brief."), Message("user", "What is a kiln?")]


def chat_model(server: ModelServer, **limits: float) -> OpenAIChatModel:
    return OpenAIChatModel("scripted", server.url, KEY, name="scripted@OpenAI", **limits)


def ask(model: OpenAIChatModel, **options: Any) -> AsyncGenerator[ModelEvent, None]:
    return model.stream(QUESTION, options=options)


async def failure_of(model: OpenAIChatModel) -> ModelError:
    with pytest.raises(ModelError) as caught:
        await complete(model, QUESTION)
    assert KEY not in str(caught.value)
    assert str(caught.value).endswith(".")
    return caught.value


# -- answers -------------------------------------------------------------------------------------------------------


async def test_text_arrives_in_the_provider_s_pieces_and_usage_last(server: ModelServer) -> None:
    server.script(Reply(pieces=["A kiln ", "is an ", "oven."]))
    events = [event async for event in ask(chat_model(server))]
    assert events[:-1] == [TextDelta("A kiln "), TextDelta("is an "), TextDelta("oven.")]
    assert events[-1] == Usage(6, 3, estimated=False)


async def test_the_request_carries_known_options_and_the_key_and_drops_the_rest(server: ModelServer) -> None:
    options = {"temperature": 0.2, "top_p": None, "max_tokens": 50, "model_name": "x", "top_n": 3, "stream": False}
    await complete(chat_model(server), QUESTION, options=options)
    exchange = server.exchanges[0]
    assert exchange.path == "/v1/chat/completions"
    assert exchange.headers["authorization"] == f"Bearer {KEY}"
    assert exchange.body == {
        "model": "scripted",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "What is a kiln?"}],
        "stream": True,
        "stream_options": {"include_usage": True},
        "temperature": 0.2,
        "max_tokens": 50,
    }


@pytest.mark.parametrize("key", ["reasoning_content", "reasoning"])
async def test_reasoning_of_its_own_field_is_kept_apart(server: ModelServer, key: str) -> None:
    server.script(Reply(reasoning="Clay, heat.", reasoning_key=key, text="An oven."))
    events = [event async for event in ask(chat_model(server))]
    assert events[0] == ReasoningDelta("Clay, heat.")
    assert all(isinstance(event, TextDelta) for event in events[1:-1])


async def test_inline_thoughts_are_reasoning_even_if_tags_are_cut(server: ModelServer) -> None:
    server.script(Reply(pieces=["<th", "ink>Clay", ", heat.</thi", "nk>\n", "\nAn ", "oven <3."]))
    answer = await complete(chat_model(server), QUESTION)
    assert (answer.thoughts, answer.text) == ("Clay, heat.", "An oven <3.")


async def test_text_survives_line_separators_and_cut_characters(server: ModelServer) -> None:
    text = "Zeile\u2028zwei\x85 窑炉 \ud83d\ude00".encode("utf-16", "surrogatepass").decode("utf-16")
    server.script(Reply(pieces=[text]))
    assert (await complete(chat_model(server), QUESTION)).text == text


async def test_a_lone_surrogate_in_the_question_does_not_fail(server: ModelServer) -> None:
    await complete(chat_model(server), [Message("user", "half \ud83d of it")])
    assert server.exchanges[0].body["messages"][0]["content"] == "half ? of it"


async def test_an_answer_in_one_piece_is_accepted(server: ModelServer) -> None:
    body = {"choices": [{"message": {"content": "An oven."}, "finish_reason": "stop"}], "usage": {"prompt_tokens": 7}}
    server.script(Reply(raw=json.dumps(body)))
    answer = await complete(chat_model(server), QUESTION)
    assert (answer.text, answer.usage) == ("An oven.", Usage(7, 0, estimated=False))


async def test_usage_is_estimated_when_the_provider_reports_none(server: ModelServer) -> None:
    server.script(Reply(text="An oven.", usage=False))
    usage = (await complete(chat_model(server), QUESTION)).usage
    assert usage.estimated
    assert usage.prompt_tokens > 5
    assert usage.completion_tokens == 3


async def test_a_provider_that_refuses_stream_options_is_asked_without_them_from_then_on(server: ModelServer) -> None:
    model = chat_model(server)
    server.script(Reply(refuse_stream_options=True), Reply(text="An oven."), Reply(text="An oven."))
    assert (await complete(model, QUESTION)).text == "An oven."
    assert (await complete(model, QUESTION)).text == "An oven."
    assert ["stream_options" in exchange.body for exchange in server.exchanges] == [True, False, False]


async def test_an_end_without_done_is_an_end(server: ModelServer) -> None:
    server.script(Reply(text="An oven.", done=False))
    assert (await complete(chat_model(server), QUESTION)).text == "An oven."


async def test_a_connection_that_stays_open_after_done_does_not_delay_the_end(server: ModelServer) -> None:
    server.script(Reply(text="An oven.", linger=True))
    async with asyncio.timeout(5):
        assert (await complete(chat_model(server), QUESTION)).text == "An oven."


# -- failures ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (Reply(status=401, message=f"Incorrect API key provided: {KEY}."), "AUTH_ERROR"),
        (Reply(status=403), "AUTH_ERROR"),
        (Reply(status=404, message="The model does not exist"), "INVALID_REQUEST"),
        (Reply(status=429, error_code="insufficient_quota"), "QUOTA_EXCEEDED"),
        (Reply(status=429, headers={"Retry-After": "77"}), "RATE_LIMIT_EXCEEDED"),
        (Reply(raw='{"error": {"message": "Rate limited", "code": 429}}'), "RATE_LIMIT_EXCEEDED"),
        (Reply(frames=['{"error": {"message": "The engine died"}}']), "MODEL_ERROR"),
        (Reply(pieces=["Well"], finish_reason="content_filter"), "CONTENT_FILTERED"),
        (Reply(frames=['{"choices": [']), "MODEL_ERROR"),
        (Reply(frames=["[1, 2]"]), "MODEL_ERROR"),
        (Reply(frames=['{"choices": [{"delta": {"content": ["An", "oven"]}}]}']), "MODEL_ERROR"),
        (Reply(frames=[]), "MODEL_ERROR"),
        (Reply(raw="<html>Log in to the hotel</html>"), "MODEL_ERROR"),
        (Reply(pieces=["An ", "oven"], cut_after=1), "MODEL_ERROR"),
        (Reply(pieces=["An "], finish_reason=None, done=False), "MODEL_ERROR"),
    ],
)
async def test_failures_have_the_contract_s_word_and_a_sentence(server: ModelServer, reply: Reply, code: str) -> None:
    server.script(reply)
    error = await failure_of(chat_model(server))
    assert error.code == code
    assert len(server.exchanges) == 1


async def test_a_bad_request_is_repeated_only_to_leave_out_stream_options(server: ModelServer) -> None:
    server.script(*[Reply(status=400, message="Temperature is too high")] * 3)
    error = await failure_of(chat_model(server))
    assert error.code == "INVALID_REQUEST"
    assert "Temperature is too high" in str(error)
    assert len(server.exchanges) == 2


async def test_the_wait_that_a_provider_asks_for_is_reported(server: ModelServer) -> None:
    server.script(Reply(status=429, headers={"Retry-After": "77"}))
    assert (await failure_of(chat_model(server))).retry_after == 77


async def test_what_came_before_a_break_is_delivered_and_never_asked_for_again(server: ModelServer) -> None:
    server.script(Reply(pieces=["An ", "oven"], cut_after=1))
    events = ask(chat_model(server))
    assert await anext(events) == TextDelta("An ")
    with pytest.raises(ModelError, match="broke off"):
        await anext(events)
    assert len(server.exchanges) == 1


@pytest.mark.parametrize("reply", [Reply(status=429, headers={"Retry-After": "0"}), Reply(status=503)])
async def test_passing_failures_are_tried_again(server: ModelServer, reply: Reply) -> None:
    server.script(reply, reply, Reply(text="An oven."))
    assert (await complete(chat_model(server), QUESTION)).text == "An oven."
    assert len(server.exchanges) == 3


async def test_lasting_failures_end(server: ModelServer) -> None:
    server.script(*[Reply(status=500)] * 10)
    assert (await failure_of(chat_model(server))).code == "SERVER_ERROR"
    assert len(server.exchanges) == http.MAX_ATTEMPTS


async def test_nobody_listening_is_a_connection_error() -> None:
    with ModelServer() as gone:
        pass
    failure = await failure_of(chat_model(gone))
    assert failure.code == "CONNECTION_ERROR"
    assert "Connect call failed" in str(failure)
    assert "ssl" not in str(failure)


@pytest.mark.parametrize(
    "reply",
    [
        Reply(hang_after=-1),
        Reply(hang_after=0),
        Reply(hang_after=2),
        Reply(status=503, headers={"Retry-After": "9"}),
    ],
    ids=["before the headers", "before the first token", "between tokens", "in retries"],
)
async def test_a_provider_that_falls_silent_ends_in_timeout(server: ModelServer, reply: Reply) -> None:
    server.script(reply)
    async with asyncio.timeout(8):
        error = await failure_of(chat_model(server, first_token_timeout=0.3, silence_timeout=0.3))
    assert error.code == "TIMEOUT"


async def test_a_slow_provider_within_the_limits_is_waited_for(server: ModelServer) -> None:
    server.script(Reply(text="An oven.", first_delay=0.4, delay_after_headers=0.4))
    assert (await complete(chat_model(server, silence_timeout=0.6), QUESTION)).text == "An oven."


async def test_a_slow_reader_is_not_mistaken_for_a_silent_provider(server: ModelServer) -> None:
    server.script(Reply(pieces=["An ", "oven"]))
    async with aclosing(ask(chat_model(server, first_token_timeout=0.4, silence_timeout=0.4))) as events:
        async for _ in events:
            await asyncio.sleep(0.5)
    assert server.exchanges[0].client_left_after is None


@pytest.mark.parametrize(
    ("url", "key", "code"),
    [("127.0.0.1:9/v1", "", "INVALID_REQUEST"), ("http://127.0.0.1:9/v1", "schlüssel", "AUTH_ERROR")],
)
def test_settings_that_cannot_work_are_named(url: str, key: str, code: str) -> None:
    with pytest.raises(ModelError) as caught:
        OpenAIChatModel("m", url, key, name="m@OpenAI")
    assert caught.value.code == code
    assert "schlüssel" not in str(caught.value)


# -- leaving early, connections ------------------------------------------------------------------------------------


async def test_closing_the_generator_ends_the_request_upstream(server: ModelServer) -> None:
    server.script(Reply(pieces=["token "] * 1000, interval=0.02))
    async with aclosing(ask(chat_model(server))) as events:
        await anext(events)
    assert await asyncio.to_thread(server.exchanges[0].ended.wait, 5)
    assert server.exchanges[0].client_left_after is not None
    assert server.exchanges[0].sent < 100


@pytest.mark.parametrize("hang_after", [-1, 0, 3], ids=["before the headers", "before a token", "between tokens"])
async def test_cancelling_the_task_ends_the_request_upstream(server: ModelServer, hang_after: int) -> None:
    server.script(Reply(hang_after=hang_after))
    task = asyncio.create_task(complete(chat_model(server), QUESTION))
    exchange = await asyncio.to_thread(server.wait_for_exchange)
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await asyncio.to_thread(exchange.ended.wait, 5)
    assert exchange.client_left_after is not None


async def test_models_of_a_loop_share_connections(server: ModelServer) -> None:
    for number in range(5):
        await complete(chat_model(server), QUESTION)
        assert await asyncio.to_thread(server.exchanges[number].ended.wait, 5)
        await asyncio.sleep(0.05)  # the end of the body arrives
    assert server.connections == 1


async def test_a_connection_is_closed_that_a_provider_keeps_open(
    server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_stream, "END_SECONDS", 0.1)
    server.script(Reply(text="An oven.", linger=True))
    await complete(chat_model(server), QUESTION)
    assert await asyncio.to_thread(server.exchanges[0].ended.wait, 5)


def test_each_event_loop_has_its_own_client_closed_with_it(server: ModelServer) -> None:
    async def turn() -> httpx2.AsyncClient:
        await complete(chat_model(server), QUESTION)
        return await http.async_client(http.Endpoint("http://127.0.0.1:9"))

    first, second = asyncio.run(turn()), asyncio.run(turn())
    assert first is not second
    assert first.is_closed
    assert not http._clients
    gc.collect()  # an unclosed connection would warn, and warnings are errors


async def test_the_environment_s_proxy_is_asked_but_not_for_this_machine(
    server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{server.port}")
    monkeypatch.setenv("no_proxy", "inside.example")
    http_stream._proxy_for.cache_clear()
    far = OpenAIChatModel("scripted", "http://models.example/v1", KEY, name="scripted@Far")
    server.script(Reply(text="Through the proxy."))
    assert (await complete(far, QUESTION)).text == "Through the proxy."
    assert server.exchanges[0].path == "http://models.example/v1/chat/completions"
    assert http_stream._proxy_for("http://inside.example/v1") is None
    assert http_stream._proxy_for("http://[::1]:9/v1") is None
    await complete(chat_model(server), QUESTION)
    assert server.exchanges[1].path == "/v1/chat/completions"
    http_stream._proxy_for.cache_clear()


async def test_a_redirect_is_not_followed(server: ModelServer) -> None:
    server.script(Reply(status=307, headers={"Location": f"{server.url}/chat/completions"}))
    assert (await failure_of(chat_model(server))).code == "INVALID_REQUEST"
    assert len(server.exchanges) == 1


async def test_credentials_in_the_address_beside_a_key_are_refused(server: ModelServer) -> None:
    both = OpenAIChatModel("scripted", f"http://ada:planted@127.0.0.1:{server.port}/v1", KEY, name="scripted@Both")
    error = await failure_of(both)
    assert error.code == "INVALID_REQUEST"
    assert "planted" not in str(error)
    assert not server.exchanges


async def test_many_streams_at_once(server: ModelServer) -> None:
    model = chat_model(server)
    answers = await asyncio.gather(*(complete(model, [Message("user", str(number))]) for number in range(100)))
    assert {answer.text for answer in answers} == {"".join(f"token{number} " for number in range(8))}
