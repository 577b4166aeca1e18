"""Speech models over real HTTP, and what of a text is spoken."""

import asyncio
import json
from contextlib import aclosing

import pytest

from ragflow.engine.errors import ModelError
from ragflow.engine.speech.base import Audio
from ragflow.engine.speech.openai import OpenAISpeechToText, OpenAITextToSpeech
from ragflow.engine.speech.speaking import PIECE_LENGTH, speak, spoken_excerpt, spoken_pieces, spoken_text
from tests.tools.model_server import ModelServer, Reply

AUDIO = Audio("a.mp3", b"ID3\x00sound")


def ears(server: ModelServer, **options: float) -> OpenAISpeechToText:
    return OpenAISpeechToText("ears", server.url, "key", name="ears@OpenAI", **options)


def mouth(server: ModelServer, **options) -> OpenAITextToSpeech:
    return OpenAITextToSpeech("mouth", server.url, "key", name="mouth@OpenAI", **options)


def collected(generator) -> list:
    async def run() -> list:
        async with aclosing(generator) as items:
            return [item async for item in items]

    return asyncio.run(run())


def event(type_: str, **more: str) -> str:
    return json.dumps({"type": f"transcript.text.{type_}", **more})


# -- transcripts ---------------------------------------------------------------------------------------------------


def test_a_transcript_that_comes_whole(server: ModelServer) -> None:
    server.script(Reply(text="Grüße"))
    assert collected(ears(server).transcribe(AUDIO)) == ["Grüße"]
    exchange = server.exchanges[0]
    assert exchange.path == "/v1/audio/transcriptions"
    assert exchange.headers["authorization"] == "Bearer key"
    assert not {"x-stainless-os", "x-stainless-runtime-version"} & set(exchange.headers)  # nothing of this machine
    assert 'filename="a.mp3"' in exchange.body
    assert "ID3\x00sound" in exchange.body
    assert "ears" in exchange.body


def test_a_transcript_that_flows(server: ModelServer) -> None:
    frames = [event("delta", delta="One "), event("delta", delta="two"), event("done", text="One two"), "[DONE]"]
    server.script(Reply(frames=frames))
    assert collected(ears(server).transcribe(AUDIO)) == ["One ", "two"]


def test_a_stream_of_one_event(server: ModelServer) -> None:
    server.script(Reply(frames=[event("done", text="One two")]))
    assert collected(ears(server).transcribe(AUDIO)) == ["One two"]


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (Reply(frames=[event("delta", delta="One ")]), "MODEL_ERROR"),
        (Reply(frames=[event("delta", delta="One "), "{broken"]), "MODEL_ERROR"),
        (Reply(frames=[event("delta", delta="One "), event("delta", delta="two")], cut_after=1), "MODEL_ERROR"),
        (Reply(frames=[json.dumps({"error": {"message": "no"}})]), "MODEL_ERROR"),
        (Reply(raw="no JSON"), "MODEL_ERROR"),
        (Reply(raw='{"words": []}'), "MODEL_ERROR"),
        (Reply(status=401), "AUTH_ERROR"),
        (Reply(status=429, headers={"Retry-After": "60"}), "RATE_LIMIT_EXCEEDED"),
        (Reply(hang_after=-1), "TIMEOUT"),
    ],
)
def test_failing_transcripts(server: ModelServer, reply: Reply, code: str) -> None:
    server.script(reply)
    with pytest.raises(ModelError) as caught:
        collected(ears(server, timeout=0.3).transcribe(AUDIO))
    assert caught.value.code == code
    assert "key" not in str(caught.value)


def test_attempts_are_repeated_before_anything_came(server: ModelServer) -> None:
    server.script(Reply(status=500), Reply(status=429, headers={"Retry-After": "0"}), Reply(text="heard"))
    assert collected(ears(server).transcribe(AUDIO)) == ["heard"]
    assert len({exchange.body.count("ID3") for exchange in server.exchanges}) == 1


# -- speaking ------------------------------------------------------------------------------------------------------


def test_audio_flows_block_by_block(server: ModelServer) -> None:
    assert b"".join(collected(mouth(server, voice="nova").speak("one two"))) == b"<one><two>"
    body = server.exchanges[0].body
    assert body == {"model": "mouth", "voice": "nova", "input": "one two", "response_format": "mp3"}


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (Reply(cut_after=1), "MODEL_ERROR"),
        (Reply(raw='{"error": {"message": "no voice"}}'), "MODEL_ERROR"),
        (Reply(raw="{}"), "MODEL_ERROR"),
        (Reply(status=500), "SERVER_ERROR"),
        (Reply(hang_after=1), "TIMEOUT"),
    ],
)
def test_failing_audio(server: ModelServer, reply: Reply, code: str) -> None:
    server.script(*[reply] * 4)
    with pytest.raises(ModelError) as caught:
        collected(mouth(server, timeout=0.3).speak("one two"))
    assert caught.value.code == code


def test_a_listener_who_leaves_ends_the_request(server: ModelServer) -> None:
    server.script(Reply(interval=0.02, hang_after=1))

    async def listen() -> None:
        async with aclosing(speak(mouth(server), "one two. three")) as blocks:
            assert await anext(blocks) == b"<one>"

    asyncio.run(listen())
    assert server.exchanges[-1].ended.wait(5)
    assert server.exchanges[-1].client_left_after is not None
    assert len(server.exchanges) == 1


def test_long_texts_are_spoken_sentence_by_sentence(server: ModelServer) -> None:
    spoken = b"".join(collected(speak(mouth(server), "First one. Second one! Third?")))
    assert [exchange.body["input"] for exchange in server.exchanges] == ["First one.", "Second one! Third?"]
    assert spoken == b"<First><one.><Second><one!><Third?>"


def test_an_excerpt_is_the_beginning_without_marks(server: ModelServer) -> None:
    assert asyncio.run(spoken_excerpt(mouth(server), "Yes [ID:0]. 😀\n" + "x" * 1000)) != b""
    assert server.exchanges[0].body["input"] == "Yes. " + "x" * 495
    assert asyncio.run(spoken_excerpt(mouth(server), "\x00 😀")) == b""
    assert len(server.exchanges) == 1


@pytest.mark.parametrize(
    ("text", "spoken"),
    [("a\x00b\u200b \n\t c", "ab c"), ("👍🏽 ok ❤️", "ok"), ("हिन्दी 中文 é", "हिन्दी 中文 é"), ("", "")],
)
def test_what_is_silent_is_left_out(text: str, spoken: str) -> None:
    assert spoken_text(text) == spoken


def test_pieces_hold_everything_and_are_never_too_long() -> None:
    text = "你好。再见！ Version 3.5 is out: yes, really.\n\n- item\n" + "word, " * 300 + "x" * 1000
    pieces = list(spoken_pieces(text))
    assert pieces[0] == "你好。"
    assert max(map(len, pieces)) <= PIECE_LENGTH
    assert "".join("".join(pieces).split()) == "".join(text.split())
    assert list(spoken_pieces("... — !")) == []


def test_very_many_stops_in_a_row_are_one_end() -> None:
    assert list(spoken_pieces(f"So{'.' * 300} Yes?!? No")) == [f"So{'.' * 300}", "Yes?!? No"]
    assert "".join(spoken_pieces("a" + "." * 500_000)) == "a" + "." * 500_000
