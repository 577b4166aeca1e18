"""Answers that are spoken while they are written: text first, whole sentences, and no harm when the voice fails."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest

from ragflow.engine.errors import ModelError
from ragflow.engine.speech import narration
from ragflow.engine.speech.narration import narrated
from ragflow.engine.speech.speaking import PIECE_LENGTH
from ragflow.engine.types import Answer, Delta, Event, Retrieval, Retrieved, Thinking, Usage

NOTHING = Retrieval((), 0, ())


class Voice:
    """Speaks each text as `<text>`; the tests decide when."""

    name = "mouth@Test"

    def __init__(self, *, patient: bool = False, fails_at: int | None = None) -> None:
        self.asked: list[str] = []
        self.may_speak = asyncio.Event()
        if not patient:
            self.may_speak.set()
        self.closed = 0
        self._fails_at = fails_at

    async def speak(self, text: str) -> AsyncGenerator[bytes, None]:
        self.asked.append(text)
        try:
            await self.may_speak.wait()
            if len(self.asked) == self._fails_at:
                raise ModelError("hoarse", code="SERVER_ERROR")
            yield f"<{text}>".encode()
        finally:
            self.closed += 1


def answer(text: str, **more: object) -> Answer:
    return Answer(text, "", NOTHING, (), Usage(), "", **more)  # type: ignore[arg-type]


async def turn(*pieces: str, pause: bool = False, **more: object) -> AsyncGenerator[Event, None]:
    yield Retrieved(NOTHING)
    for piece in pieces:
        yield Delta(piece)
        if pause:
            await asyncio.sleep(0.01)
    yield answer("".join(pieces), **more)


async def heard(events: AsyncGenerator[Event, None], voice: Voice) -> list[Event]:
    async with aclosing(narrated(events, voice)) as told:
        return [event async for event in told]


def deltas(events: list[Event]) -> list[tuple[str, bytes]]:
    return [(event.text, event.audio) for event in events if isinstance(event, Delta)]


async def test_audio_of_a_sentence_comes_on_a_later_delta():
    voice = Voice()
    events = await heard(turn("Clara ", "Nord. ", "She ", "built it.", pause=True), voice)
    assert voice.asked == ["Clara Nord.", "She built it."]
    assert deltas(events) == [
        ("Clara ", b""), ("Nord. ", b""), ("She ", b"<Clara Nord.>"), ("built it.", b""), ("", b"<She built it.>"),
    ]  # fmt: skip
    assert events[-1] == answer("Clara Nord. She built it.")


async def test_text_never_waits_for_a_slow_voice():
    voice = Voice(patient=True)
    async with aclosing(narrated(turn("One. ", "Two. ", "Three. ", pause=True), voice)) as events:
        told = [await anext(events) for _ in range(4)]
        assert deltas(told) == [("One. ", b""), ("Two. ", b""), ("Three. ", b"")]
        assert voice.asked == ["One."]
        voice.may_speak.set()
        rest = [event async for event in events]
    assert voice.asked == ["One.", "Two. Three."]  # what waited is spoken in one request
    assert deltas(rest) == [("", b"<One.>"), ("", b"<Two. Three.>")]


async def test_thoughts_marks_and_silence_are_not_spoken():
    async def events() -> AsyncGenerator[Event, None]:
        yield Thinking("Hm. Well. ")
        for event in (Delta("Nord. "), Delta("[ID:0] 😀\n"), answer("Nord. [ID:0] 😀\n")):
            yield event

    voice = Voice()
    await heard(events(), voice)
    assert voice.asked == ["Nord."]


async def test_long_text_is_spoken_in_parts_that_a_voice_takes():
    text = "word, " * 300 + "x" * 1000 + "。" + "Short. " * 100
    voice = Voice()
    await heard(turn(text), voice)
    assert max(map(len, voice.asked)) <= PIECE_LENGTH
    assert "".join("".join(voice.asked).split()) == "".join(text.split())


@pytest.mark.parametrize("fails_at", [1, 2])
async def test_a_failing_voice_leaves_the_text(caplog, fails_at):
    with caplog.at_level(logging.WARNING):
        events = await heard(turn("One. ", "Two. ", "Three.", pause=True), Voice(fails_at=fails_at))
    told = deltas(events)
    assert "".join(text for text, _ in told) == "One. Two. Three."
    assert b"".join(audio for _, audio in told) == b"<One.>" * (fails_at - 1)
    assert isinstance(events[-1], Answer)
    assert "mouth@Test did not speak an answer: hoarse" in caplog.text


async def test_a_voice_that_hangs_is_not_waited_for_long(monkeypatch, caplog):
    monkeypatch.setattr(narration, "SECONDS", 0.05)
    voice = Voice(patient=True)
    with caplog.at_level(logging.WARNING):
        events = await heard(turn("One. ", "Two."), voice)
    assert isinstance(events[-1], Answer)
    assert voice.closed == 1
    assert "it took too long" in caplog.text


async def test_an_answer_that_is_not_grounded_carries_its_audio():
    *_, last = await heard(turn("Sorry. Nothing.", grounded=False), Voice())
    assert isinstance(last, Answer)
    assert last.audio == b"<Sorry.><Nothing.>"


async def test_rows_are_not_spoken():
    async def events() -> AsyncGenerator[Event, None]:
        yield Retrieved(NOTHING, from_rows=True)
        yield Delta("|a|\n|b|\n")
        yield answer("|a|\n|b|\n", from_rows=True)

    voice = Voice()
    assert await heard(events(), voice) == [event async for event in events()]
    assert voice.asked == []


async def test_who_leaves_ends_the_voice_and_the_turn():
    closed = []

    async def events() -> AsyncGenerator[Event, None]:
        try:
            yield Delta("One. ")
            await asyncio.sleep(0.01)
            yield Delta("Two. ")
        finally:
            closed.append(True)

    voice = Voice(patient=True)
    async with aclosing(narrated(events(), voice)) as told:
        await anext(told)
        await anext(told)
        assert voice.asked == ["One."]
    assert (voice.closed, closed) == (1, [True])
