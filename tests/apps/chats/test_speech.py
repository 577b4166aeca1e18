"""POST /api/v1/sequence2txt and /api/v1/tts, and assistants that speak."""

from __future__ import annotations

import asyncio
import json

import pytest

from tests.apps.conftest import API, BOUNDARY, form
from tests.tools.model_server import Reply

from .conftest import ASGI, token_of

pytestmark = pytest.mark.django_db(transaction=True)

HEAR, SPEAK = "/api/v1/sequence2txt", "/api/v1/tts"
FORM = f"multipart/form-data; boundary={BOUNDARY}"


@pytest.fixture
def send(asgi):
    """Send a form of these parts and return the reply."""

    def ask(*parts):
        asgi.content_type = FORM
        return asgi.ask(HEAR, form(*parts))

    return ask


def recording(name="a.mp3"):
    return ("file", name, b"ID3 sound")


@pytest.mark.parametrize("path", [HEAR, SPEAK])
def test_credentials_come_first(db, path):
    assert ASGI("wrong").ask(path, {}).json["code"] == 109


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ([], "Missing 'file' in multipart form-data"),
        ([("file", None, b"text")], "Missing 'file' in multipart form-data"),
        ([("other", "a.mp3", b"x")], "Missing 'file' in multipart form-data"),
        (
            [recording("a.TXT")],
            "Unsupported audio format: .txt. Allowed: .aac, .flac, .m4a, .mp3, .ogg, .opus, .wav, .webm, .wma",
        ),
        ([recording("noise")], "Unsupported audio format: . Allowed:"),
        ([recording("mp3")], "Unsupported audio format: . Allowed:"),
        ([recording()], "No default ASR model is set"),
    ],
)
def test_what_cannot_be_heard(send, parts, message, profile):
    reply = send(*parts)
    assert reply.json["message"].startswith(message)
    assert (reply.json["code"], reply.status) == (102, 200 if profile == "exact" else 400)


def test_a_body_that_is_no_form(asgi):
    assert asgi.ask(HEAR, {"file": "x"}).json["message"] == "Missing 'file' in multipart form-data"


def test_a_recording_is_written_down(send, provider):
    provider.script(Reply(text="Hello there."))
    reply = send(recording("../../etc/A.MP3"), ("stream", None, b"false"))
    assert reply.json == {"code": 0, "message": "success", "data": {"text": "Hello there."}}
    assert 'filename="A.MP3"' in provider.exchanges[-1].body
    assert "ears" in provider.exchanges[-1].body


def events(reply):
    assert reply.is_stream, reply.body
    return [json.loads(part.removeprefix(b"data: ")) for part in reply.body.split(b"\n\n") if part]


def test_its_pieces_flow(send, provider):
    pieces = [{"type": "transcript.text.delta", "delta": piece} for piece in ("Hello ", "there\n\ndata: x")]
    done = {"type": "transcript.text.done", "text": ""}
    provider.script(Reply(frames=[json.dumps(event) for event in [*pieces, done]]))
    assert events(send(recording(), ("stream", None, b"true"))) == [
        {"event": "delta", "text": "Hello "},
        {"event": "delta", "text": "there\n\ndata: x"},
        {"event": "final", "text": "Hello there\n\ndata: x"},
    ]


def test_failures_are_told(send, provider, profile):
    provider.script(Reply(status=401, message="bad key"))
    failed = send(recording())
    assert (failed.json["code"], failed.status) == ((100, 200) if profile == "exact" else (100, 502))
    half = [json.dumps({"type": "transcript.text.delta", "delta": "Hel"})]
    provider.script(Reply(frames=half))
    *_, error = events(send(recording(), ("stream", None, b"true")))
    assert error["event"] == "error"
    assert error["text"].startswith("MODEL_ERROR - ")


@pytest.mark.parametrize("stream", [b"true", b"false"])
def test_a_transcript_has_a_deadline(send, provider, settings, stream):
    settings.ANSWER_SECONDS, settings.WIRE_PROFILE = 1, "standard"
    delta = json.dumps({"type": "transcript.text.delta", "delta": "Hel"})
    provider.script(Reply(frames=[delta] * 1000, interval=0.02))
    reply = send(recording(), ("stream", None, stream))
    told = events(reply)[-1]["text"] if stream == b"true" else reply.json["message"]
    assert told == "The answer took longer than 1 seconds."


# -- speaking ------------------------------------------------------------------------------------------------------


def test_a_text_is_spoken_sentence_by_sentence(asgi, provider):
    reply = asgi.ask(SPEAK, {"text": "One 😀 two. Three!"})
    assert reply.headers["content-type"] == "audio/mpeg"
    assert reply.body == b"<One><two.><Three!>"
    assert [exchange.body["input"] for exchange in provider.exchanges] == ["One two.", "Three!"]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "`text` is required"),
        ({"text": 5}, "`text` is required"),
        ({"text": " \n😀"}, "`text` must hold something"),
        ({"text": "x" * 100_001}, "`text` has 100001 characters"),
    ],
)
def test_what_cannot_be_spoken(asgi, provider, settings, body, message):
    settings.WIRE_PROFILE = "standard"
    assert asgi.ask(SPEAK, body).json["message"].startswith(message)
    assert not provider.exchanges


def test_without_a_model_that_speaks(asgi, profile):
    reply = asgi.ask(SPEAK, {"text": "Hello"})
    assert (reply.json["code"], reply.json["message"]) == (102, "No default TTS model is set")


def test_a_failure_before_the_first_sound_is_an_answer(asgi, provider, settings):
    settings.WIRE_PROFILE = "standard"
    provider.script(Reply(status=401))
    reply = asgi.ask(SPEAK, {"text": "Hello"})
    assert (reply.status, reply.headers["content-type"]) == (502, "application/json")


async def test_a_listener_who_leaves_ends_the_request(asgi, provider):
    provider.script(Reply(interval=0.02, hang_after=2))
    async with asgi.calling(SPEAK, {"text": "One two three. Four."}) as call:
        await call.begin()
        async with asyncio.timeout(10):
            while b"<One>" not in call.reply.body:
                await call.more()
    (exchange,) = provider.exchanges
    assert await asyncio.to_thread(exchange.ended.wait, 5)
    assert exchange.client_left_after is not None


@pytest.fixture
def speaker(provider, create_chat, new_session, dataset):
    """Path and body of a question to an assistant that speaks."""
    chat = create_chat("speaker", dataset_ids=[dataset], prompt={"tts": True, "refine_multiturn": False})["id"]
    question = {"question": "Who built the red bridge of Ulm?", "session_id": new_session(chat)}
    return f"/api/v1/chats/{chat}/completions", question


def test_an_assistant_speaks_its_answers(asgi, provider, speaker):
    path, body = speaker
    provider.script(Reply(endpoint="chat", text="Clara Nord [ID:0]."))
    frames = asgi.ask(path, body).frames
    *deltas, spoken, final, _end = [frame["data"] for frame in frames]
    assert [delta["audio_binary"] for delta in [*deltas, final]] == [None] * (len(deltas) + 1)
    assert (spoken["answer"], spoken["final"]) == ("", False)
    assert bytes.fromhex(spoken["audio_binary"]) == b"<Clara><Nord.>"
    provider.script(Reply(endpoint="chat", text="Clara Nord."))
    assert bytes.fromhex(asgi.ask(path, body | {"stream": False}).json["data"]["audio_binary"]) == b"<Clara><Nord.>"


@pytest.mark.parametrize("fault", [Reply(endpoint="speech", status=401), Reply(endpoint="speech", cut_after=0)])
def test_an_assistant_that_lost_its_voice_answers_in_writing(asgi, provider, speaker, fault):
    path, body = speaker
    provider.script(fault)
    answer = asgi.ask(path, body | {"stream": False}).json
    assert answer["code"] == 0
    assert answer["data"]["answer"].startswith("token0")
    assert answer["data"]["audio_binary"] is None


def test_a_stream_is_spoken_sentence_by_sentence(asgi, provider, speaker):
    path, body = speaker
    provider.script(Reply(endpoint="chat", pieces=["It was Nord. ", "In 1903. ", "Yes."], interval=0.1))
    *frames, final, _end = asgi.ask(path, body).frames
    audio = [bytes.fromhex(frame["data"]["audio_binary"] or "") for frame in frames]
    assert b"".join(audio) == b"<It><was><Nord.><In><1903.><Yes.>"
    assert "".join(frame["data"]["answer"] for frame in frames) == "It was Nord. In 1903. Yes."
    assert audio[0] == b""
    assert final["data"]["audio_binary"] is None


def test_an_empty_response_is_spoken_too(asgi, provider, speaker):
    path, body = speaker
    frame, _end = asgi.ask(path, body | {"question": "xylophone quark"}).frames
    spoken = bytes.fromhex(frame["data"]["audio_binary"])
    assert spoken.startswith(b"<Sorry!>")
    assert frame["data"]["final"] is True


@pytest.mark.parametrize("stream", [True, False])
async def test_who_leaves_a_spoken_answer_ends_the_voice_too(asgi, provider, speaker, stream):
    path, body = speaker
    provider.script(Reply(endpoint="chat", text="One. Two."), Reply(endpoint="speech", hang_after=0))
    async with asgi.calling(path, body | {"stream": stream}):
        speech = await asyncio.to_thread(provider.wait_for_exchange, 2)
    assert await asyncio.to_thread(speech.ended.wait, 5)
    assert speech.path.endswith("/speech")
    assert speech.client_left_after is not None


@pytest.mark.parametrize("fault", [Reply(endpoint="speech", status=401), Reply(endpoint="speech", cut_after=0)])
def test_a_stream_that_lost_its_voice_is_read(asgi, provider, speaker, fault):
    path, body = speaker
    provider.script(fault, Reply(endpoint="chat", text="One. Two."))
    *frames, final, end = asgi.ask(path, body).frames
    assert "".join(frame["data"]["answer"] for frame in frames) == "One. Two."
    assert {frame["data"]["audio_binary"] for frame in [*frames, final]} == {None}
    assert end == {"code": 0, "data": True}


def test_a_voice_that_hangs_holds_no_answer_back(asgi, provider, speaker, monkeypatch):
    monkeypatch.setattr("ragflow.engine.speech.narration.SECONDS", 0.2)
    path, body = speaker
    provider.script(Reply(endpoint="speech", hang_after=0))
    assert asgi.ask(path, body | {"stream": False}).json["data"]["audio_binary"] is None


def test_without_a_voice_an_assistant_answers_in_writing(asgi, create_chat, new_session, dataset):
    chat = create_chat("mute", dataset_ids=[dataset], prompt={"tts": True})["id"]
    body = {"question": "bridge", "session_id": new_session(chat), "stream": False}
    assert asgi.ask(f"/api/v1/chats/{chat}/completions", body).json["data"]["audio_binary"] is None


def test_api_clients_of_one_tenant_do_not_speak_with_anothers_model(api, other, provider, tenant):
    tenant.text_to_speech_model = "own@OpenAI"
    tenant.save()
    ASGI(token_of(api)).ask(SPEAK, {"text": "Hello"})
    ASGI(token_of(other)).ask(SPEAK, {"text": "Hello"})
    assert [exchange.body["model"] for exchange in provider.exchanges] == ["own", "mouth"]
    assert isinstance(api, API)


def test_nothing_is_spoken_to_openai_clients(asgi, provider, speaker):
    asked = {"model": "speaker", "messages": [{"role": "user", "content": "bridge of Ulm"}]}
    assert asgi.ask("/api/v1/openai/chat/completions", asked).status == 200
    assert not [exchange for exchange in provider.exchanges if exchange.path.endswith("/speech")]
