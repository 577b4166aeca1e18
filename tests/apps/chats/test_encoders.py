"""Golden transcripts: the events of a turn, and every byte that clients get of it."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest

from apps.chats import encoders
from apps.chats.encoders import (
    WITH_MESSAGE,
    OpenAICompletion,
    RagflowCompletion,
    Summary,
    greeting,
    greeting_frames,
    ragflow_failure,
)
from ragflow.engine.errors import MissingParameter, ModelError
from ragflow.engine.tokens import count_tokens
from ragflow.engine.types import (
    Answer,
    Chunk,
    Delta,
    DocumentCount,
    Passage,
    Position,
    Retrieval,
    Retrieved,
    Thinking,
    ThinkingEnded,
    ThinkingStarted,
    Usage,
)

NOW = 1_700_000_000.5


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    monkeypatch.setattr(encoders, "time", lambda: NOW)


def passage(number: int, content: str = "text") -> Passage:
    chunk = Chunk(
        id=f"{number:016x}",
        dataset_id="d" * 32,
        document_id=f"doc{number}",
        document_name=f"{number}.pdf",
        content=content,
        positions=(Position(1, 2.0, 3.0, 4.0, 5.0),),
    )
    return Passage(chunk, similarity=0.5, term_similarity=0.25, vector_similarity=0.75)


FOUND = Retrieval(
    passages=(passage(0), passage(1, 'data: [DONE]\n\n[ID:99] "é"')),
    total=7,
    documents=(DocumentCount("doc0", "0.pdf", 1), DocumentCount("doc1", "1.pdf", 6)),
)
NOTHING = Retrieval((), 0, ())
CHUNKS = [
    {
        "id": f"{number:016x}",
        "content": content,
        "document_id": f"doc{number}",
        "document_name": f"{number}.pdf",
        "dataset_id": "d" * 32,
        "image_id": "",
        "positions": [[1, 2, 3, 4, 5]],
        "url": None,
        "similarity": 0.5,
        "vector_similarity": 0.75,
        "term_similarity": 0.25,
        "doc_type": "",
    }
    for number, content in [(0, "text"), (1, 'data: [DONE]\n\n[ID:99] "é"')]
]
REFERENCE = {
    "total": 7,
    "chunks": CHUNKS,
    "doc_aggs": [
        {"doc_name": "1.pdf", "doc_id": "doc1", "count": 6},
        {"doc_name": "0.pdf", "doc_id": "doc0", "count": 1},
    ],
}
EMPTY = {"total": 0, "chunks": [], "doc_aggs": []}
IDS = {"id": "m-1", "session_id": "s1"}


def answer(text: str, **fields: Any) -> Answer:
    defaults = {
        "thoughts": "",
        "retrieval": FOUND,
        "cited": (),
        "usage": Usage(10, 4, estimated=False),
        "prompt": "the prompt",
    }
    return Answer(text=text, **defaults | fields)


GROUNDED = [
    Retrieved(FOUND),
    Delta("Bridges "),
    Delta("are red. [ID:1]"),
    answer("Bridges are red. [ID:1]", cited=(1,)),
]
SOLO = [Delta("Hello"), answer("Hello", retrieval=NOTHING, prompt="")]
UNGROUNDED = [Retrieved(NOTHING), Delta("Sorry!"), answer("Sorry!", retrieval=NOTHING, grounded=False)]
THOUGHT = [
    Retrieved(FOUND),
    ThinkingStarted(),
    Thinking("Hm."),
    ThinkingEnded(),
    Delta("Yes."),
    answer("Yes.", thoughts="Hm."),
]
FAILURE = ModelError("The provider is busy.", code="RATE_LIMIT_EXCEEDED")


async def play(events):
    for event in events:
        if isinstance(event, Exception):
            raise event
        yield event


def collect(frames):
    async def run():
        return [frame async for frame in frames]

    return asyncio.run(run())


def payload(frame: bytes) -> Any:
    assert frame.startswith(b"data:")
    assert frame.endswith(b"\n\n")
    assert b"\n" not in frame[:-2]
    content = frame[5:-2]
    return content.decode() if content == b"[DONE]" else orjson.loads(content)


def ragflow(events, *, quote=True):
    completion = RagflowCompletion(message_id="m-1", session_id="s1", quote=quote)
    return [payload(frame) for frame in collect(completion.frames(play(events)))]


def ragflow_answer(events, *, quote=True):
    completion = RagflowCompletion(message_id="m-1", session_id="s1", quote=quote)
    return asyncio.run(completion.answer(play(events)))


def delta(text: str, **more: Any) -> dict[str, Any]:
    shown = {"answer": text, "reference": {"chunks": []}, "audio_binary": None, "final": False, **IDS}
    return {"code": 0, "data": shown | more}


def final(text: str = "", reference: Any = REFERENCE, **more: Any) -> dict[str, Any]:
    shown = {"answer": text, "reference": reference, "prompt": "the prompt", "audio_binary": None, "final": True}
    return {"code": 0, "data": shown | IDS | more}


END = {"code": 0, "data": True}


# -- RAGFlow -------------------------------------------------------------------------------------------------------


def test_the_exact_bytes_of_a_delta():
    completion = RagflowCompletion(message_id="m-1", session_id="s1", quote=True)
    first = collect(completion.frames(play([Retrieved(FOUND), Delta("é\n\ndata:x"), answer("")])))[0]
    assert (
        first
        == (
            'data:{"code":0,"data":{"answer":"é\\n\\ndata:x","reference":{"chunks":[]},"audio_binary":null,'
            '"final":false,"id":"m-1","session_id":"s1"}}\n\n'
        ).encode()
    )


def test_deltas_then_references_then_the_terminator():
    assert ragflow(GROUNDED) == [delta("Bridges "), delta("are red. [ID:1]"), final(created_at=NOW), END]


def test_without_quoting_the_reference_is_empty():
    assert ragflow(GROUNDED, quote=False)[-2]["data"]["reference"] == {}


def test_thoughts_stand_between_two_marks():
    assert ragflow(THOUGHT) == [
        delta("", start_to_think=True),
        delta("Hm."),
        delta("", end_to_think=True),
        delta("Yes."),
        final(created_at=NOW),
        END,
    ]


def test_nothing_retrieved_is_one_frame():
    assert ragflow(UNGROUNDED) == [final("Sorry!", EMPTY), END]


def test_a_model_that_answers_without_passages_is_streamed_in_order():
    events = [Retrieved(NOTHING), Delta("a"), Delta("b"), Delta("c"), answer("abc", retrieval=NOTHING)]
    assert ragflow(events) == [delta("a"), delta("b"), delta("c"), final("", {}, created_at=NOW), END]


def test_a_chat_without_datasets_has_no_final_frame():
    assert ragflow(SOLO) == [delta("Hello", prompt="", created_at=NOW), END]


def test_no_text_no_final_frame():
    assert ragflow([Retrieved(FOUND), answer("")]) == [END]


@pytest.mark.parametrize("before", [[], [Retrieved(FOUND), Delta("Half ")]])
def test_a_failing_provider_ends_the_stream_in_words(before):
    frames = ragflow([*before, FAILURE])
    text = "RATE_LIMIT_EXCEEDED - The provider is busy."
    assert frames[-2:] == [
        {"code": 500, "message": text, "data": {"answer": f"**ERROR**: {text}", "reference": []}},
        END,
    ]
    assert frames[:-2] == [delta("Half ")] * bool(before)


def test_a_missing_value_is_told_in_the_stream(profile):
    frames = ragflow([MissingParameter("topic")])
    text = "'Miss parameter: topic'" if profile == "exact" else frames[0]["message"]
    assert frames[0] == {"code": 500, "message": text, "data": {"answer": f"**ERROR**: {text}", "reference": []}}
    assert "topic" in text


def test_what_is_unexpected_is_not_shown(settings, caplog):
    settings.WIRE_PROFILE = "standard"
    frames = [payload(frame) for frame in ragflow_failure(ZeroDivisionError("secret"))]
    assert frames[1] == END
    assert "secret" not in frames[0]["message"]
    assert "ZeroDivisionError" in caplog.text


def test_one_answer():
    assert ragflow_answer(THOUGHT) == {
        "code": 0,
        "data": {
            "answer": "<think>Hm.</think>Yes.",
            "reference": REFERENCE,
            "prompt": "the prompt",
            "audio_binary": None,
            "created_at": NOW,
            **IDS,
        },
    }


def test_one_answer_when_nothing_was_retrieved():
    data = ragflow_answer(UNGROUNDED)["data"]
    assert data == final("Sorry!", EMPTY)["data"]


def test_one_answer_without_datasets():
    data = ragflow_answer(SOLO)["data"]
    assert (data["answer"], data["reference"], data["prompt"]) == ("Hello", {}, "")


def test_one_answer_of_a_failing_provider():
    body = ragflow_answer([Retrieved(FOUND), Delta("Half "), FAILURE])
    assert body["code"] == 0
    assert body["data"]["answer"] == "**ERROR**: RATE_LIMIT_EXCEEDED - The provider is busy."
    assert body["data"].keys() >= {"reference", "audio_binary", "id", "session_id"}


def test_a_greeting_is_two_frames():
    data = greeting(session_id="s1", text="Hi!")
    frames = [payload(frame) for frame in collect(greeting_frames(data))]
    assert frames == [
        {
            "code": 0,
            "message": "",
            "data": {"answer": "Hi!", "reference": {}, "audio_binary": None, "id": None, "session_id": "s1"},
        },
        {"code": 0, "message": "", "data": True},
    ]


# -- OpenAI --------------------------------------------------------------------------------------------------------


def openai(*, reference=False, failure_is_answer=False):
    return OpenAICompletion(
        completion_id="c1",
        model="any",
        streamed_model="model",
        question="Who built it?",
        reference=reference,
        failure_is_answer=failure_is_answer,
    )


def openai_frames(events, **options):
    return [payload(frame) for frame in collect(openai(**options).frames(play(events)))]


def chunk(content=None, *, reasoning=None, finish_reason=None, usage=None, **more):
    delta = {
        "content": content,
        "role": "assistant",
        "function_call": None,
        "tool_calls": None,
        "reasoning_content": reasoning,
    }
    return {
        "id": "chatcmpl-c1",
        "choices": [{"delta": delta | more, "finish_reason": finish_reason, "index": 0, "logprobs": None}],
        "created": int(NOW),
        "model": "model",
        "object": "chat.completion.chunk",
        "system_fingerprint": "",
        "usage": usage,
    }


USAGE = {"prompt_tokens": 10, "completion_tokens": 4, "total_tokens": 14}


def test_openai_chunks():
    assert openai_frames(GROUNDED) == [
        chunk("Bridges "),
        chunk("are red. [ID:1]"),
        chunk(finish_reason="stop", usage=USAGE),
        "[DONE]",
    ]


def test_openai_chunks_with_reference_and_thoughts():
    assert openai_frames(THOUGHT, reference=True) == [
        chunk(reasoning="Hm."),
        chunk("Yes."),
        chunk(finish_reason="stop", usage=USAGE, reference=CHUNKS, final_content="Yes."),
        "[DONE]",
    ]


def test_openai_clients_get_the_empty_response_as_a_delta():
    last = chunk(finish_reason="stop", usage=USAGE, reference=[], final_content="Sorry!")
    assert openai_frames(UNGROUNDED, reference=True) == [chunk("Sorry!"), last, "[DONE]"]


def test_openai_failure_is_raised_for_the_view_or_told_as_an_answer():
    with pytest.raises(ModelError):
        openai_frames([Retrieved(FOUND), FAILURE])
    told = chunk("**ERROR**: RATE_LIMIT_EXCEEDED - The provider is busy.")
    failed = openai_frames([Thinking("Hm. "), Delta("Half "), FAILURE], failure_is_answer=True)
    last = chunk(finish_reason="stop", usage=counted("Hm. Half "))
    assert failed == [chunk(reasoning="Hm. "), chunk("Half "), told, last, "[DONE]"]
    last = chunk(finish_reason="stop", usage=counted(""), reference=[], final_content="")
    assert [payload(frame) for frame in openai(reference=True).failure(FAILURE)] == [told, last, "[DONE]"]


def test_a_failure_that_counts_as_an_openai_answer_is_counted():
    body = asyncio.run(openai(failure_is_answer=True).answer(play([Delta("Half "), FAILURE])))
    content = "**ERROR**: RATE_LIMIT_EXCEEDED - The provider is busy."
    assert body["choices"][0]["message"]["content"] == content
    assert {name: body["usage"][name] for name in counted(content)} == counted(content)


def counted(said):
    question, answer = count_tokens("Who built it?"), count_tokens(said)
    return {"prompt_tokens": question, "completion_tokens": answer, "total_tokens": question + answer}


def test_one_openai_completion():
    body = asyncio.run(openai(reference=True).answer(play(THOUGHT)))
    assert body == {
        "id": "chatcmpl-c1",
        "object": "chat.completion",
        "created": int(NOW),
        "model": "any",
        "usage": {
            **USAGE,
            "completion_tokens_details": {
                "reasoning_tokens": 3,
                "accepted_prediction_tokens": 4,
                "rejected_prediction_tokens": 0,
            },
        },
        "choices": [
            {
                "message": {"role": "assistant", "content": "<think>Hm.</think>Yes.", "reference": CHUNKS},
                "logprobs": None,
                "finish_reason": "stop",
                "index": 0,
            }
        ],
    }
    plain = asyncio.run(openai().answer(play(GROUNDED)))
    assert "reference" not in plain["choices"][0]["message"]


def test_one_openai_completion_of_a_failing_provider():
    with pytest.raises(ModelError):
        asyncio.run(openai().answer(play([FAILURE])))
    body = asyncio.run(openai(failure_is_answer=True).answer(play([FAILURE])))
    assert body["choices"][0]["message"]["content"].startswith("**ERROR**: RATE_LIMIT_EXCEEDED")


# -- without a session ---------------------------------------------------------------------------------------------


def summary(events):
    return [payload(frame) for frame in collect(Summary().frames(play(events)))]


def summed(text: str = "", **more: Any) -> dict[str, Any]:
    return {"code": 0, "message": "", "data": {"answer": text, "reference": {}, "final": False} | more}


SUMMARY_END = {"code": 0, "message": "", "data": True}


def test_the_exact_bytes_of_a_summary():
    assert collect(Summary().frames(play(GROUNDED)))[0] == (
        b'data:{"code":0,"message":"","data":{"answer":"Bridges ","reference":{},"final":false}}\n\n'
    )


def test_a_summary_ends_with_its_references():
    assert summary(GROUNDED) == [
        summed("Bridges "),
        summed("are red. [ID:1]"),
        summed(reference=REFERENCE, final=True),
        SUMMARY_END,
    ]


def test_a_summary_marks_thoughts():
    assert summary(THOUGHT)[:4] == [
        summed(start_to_think=True),
        summed("Hm."),
        summed(end_to_think=True),
        summed("Yes."),
    ]


def test_a_summary_of_nothing():
    assert summary(UNGROUNDED) == [summed("Sorry!"), summed(reference=EMPTY, final=True), SUMMARY_END]


def test_a_summary_that_fails():
    text = "RATE_LIMIT_EXCEEDED - The provider is busy."
    error = {"code": 500, "message": text, "data": {"answer": f"**ERROR**: {text}", "reference": []}}
    assert summary([Retrieved(FOUND), Delta("Half "), FAILURE]) == [summed("Half "), error, SUMMARY_END]
    assert [payload(frame) for frame in collect(Summary().failed(FAILURE))] == [error, SUMMARY_END]


# -- variants ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("events", [GROUNDED, UNGROUNDED, SOLO, [Delta("Half "), FAILURE]])
def test_frames_of_embedded_chats_are_the_same_with_a_message(events):
    completion = RagflowCompletion(message_id="m-1", session_id="s1", quote=True, envelope=WITH_MESSAGE)
    frames = [payload(frame) for frame in collect(completion.frames(play(events)))]
    assert frames == [{"message": "", **frame} for frame in ragflow(events)]


def test_audio_comes_on_its_delta_or_with_a_whole_answer():
    events = [*GROUNDED[:-1], Delta("Nord.", b"\xff\xf3"), Delta("", b"\x01"), GROUNDED[-1]]
    deltas = [frame["data"] for frame in ragflow(events)[-4:-1]]
    assert [(delta["answer"], delta["audio_binary"]) for delta in deltas] == [("Nord.", "fff3"), ("", "01"), ("", None)]
    assert ragflow_answer([Delta("x"), answer("x", audio=b"\xff\xf3")])["data"]["audio_binary"] == "fff3"
