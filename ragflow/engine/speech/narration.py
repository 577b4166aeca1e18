"""A turn's events with the speech of its answer: sentence by sentence while the model writes, or at its end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace

from ragflow.engine.errors import ModelError
from ragflow.engine.speech.base import TextToSpeech
from ragflow.engine.speech.speaking import CLAUSE, PIECE_LENGTH, SENTENCE_END, spoken_excerpt, spoken_text
from ragflow.engine.types import Answer, Delta, Event, Retrieved

logger = logging.getLogger(__name__)

Events = AsyncGenerator[Event, None]

SECONDS = 30.0
"""How long an answer whose text is complete waits for its audio."""


async def spoken(events: Events, voice: TextToSpeech) -> Events:
    """Pass a turn on; its Answer gets the audio of its beginning, or none when the voice fails."""
    async with aclosing(events):
        async for event in events:
            if isinstance(event, Answer) and not event.from_rows:
                yield replace(event, audio=await _excerpt(voice, event.text))
            else:
                yield event


async def _excerpt(voice: TextToSpeech, text: str) -> bytes:
    try:
        async with asyncio.timeout(SECONDS):
            return await spoken_excerpt(voice, text)
    except (ModelError, TimeoutError) as error:
        _log(voice, error)
        return b""


async def narrated(events: Events, voice: TextToSpeech) -> Events:
    """Pass a turn on while it is spoken. No text waits for the voice.

    A delta carries the audio of earlier sentences that is ready by then; what is left when the text is complete follows
    on deltas without text. An answer that is not grounded gets all of its audio itself. When the voice fails, the rest
    comes without. Rows of spreadsheets are not spoken.
    """
    from_rows = False
    async with aclosing(events), _narration(voice) as narration:
        async for event in events:
            match event:
                case Retrieved():
                    from_rows = event.from_rows
                    yield event
                case Delta(text) if not from_rows:
                    narration.hear(text)
                    yield replace(event, audio=narration.ready())
                case Answer() if event.grounded and not from_rows:
                    async with aclosing(narration.rest()) as blocks:
                        async for audio in blocks:
                            yield Delta("", audio)
                    yield event
                case Answer() if not from_rows:
                    async with aclosing(narration.rest()) as blocks:
                        yield replace(event, audio=b"".join([audio async for audio in blocks]))
                case _:
                    yield event


class _Narration:
    """Speaks a text while it is written. One request follows the other; each has the sentences that wait by then."""

    def __init__(self, voice: TextToSpeech) -> None:
        self._voice = voice
        self._text = ""  # what was not spoken yet
        self._is_complete = False
        self._news = asyncio.Event()  # the text has grown, or is complete
        self._audio: asyncio.Queue[bytes] = asyncio.Queue()
        self._task = asyncio.create_task(self._speak())

    def hear(self, text: str) -> None:
        self._text += text
        self._news.set()

    def ready(self) -> bytes:
        """Return the audio that has been made since the last call."""
        blocks = []
        while not self._audio.empty():
            blocks.append(self._audio.get_nowait())
        return b"".join(blocks)

    async def rest(self) -> AsyncGenerator[bytes, None]:
        """Yield the audio that is left, as it is made, until it is all there or has taken too long."""
        self._is_complete = True
        self._news.set()
        self._task.add_done_callback(lambda _: self._audio.put_nowait(b""))
        deadline = asyncio.get_running_loop().time() + SECONDS
        try:
            while audio := await self._next_audio(deadline):
                yield audio
        except TimeoutError as error:
            _log(self._voice, error)

    async def close(self) -> None:
        """End the request to the voice."""
        self._task.cancel()
        await asyncio.wait({self._task})

    async def _next_audio(self, deadline: float) -> bytes:
        async with asyncio.timeout_at(deadline):
            return await self._audio.get()

    async def _speak(self) -> None:
        try:
            while piece := await self._next_piece():
                async with aclosing(self._voice.speak(piece)) as blocks:
                    if audio := b"".join([block async for block in blocks]):
                        self._audio.put_nowait(audio)
        except ModelError as error:
            _log(self._voice, error)

    async def _next_piece(self) -> str:
        """Return what to speak next as soon as there is any; empty text at the end."""
        while True:
            while piece := self._take():
                text = spoken_text(piece)
                if any(char.isalnum() for char in text):
                    return text
            if self._is_complete:
                return ""
            self._news.clear()
            await self._news.wait()

    def _take(self) -> str:
        """Cut off as many whole sentences as fit into one request; of a longer one, or the last one, what fits."""
        ends = [match.end() for match in SENTENCE_END.finditer(self._text[:PIECE_LENGTH])]
        size = ends[-1] if ends else 0
        if not ends and (self._is_complete or len(self._text) > PIECE_LENGTH):
            match = CLAUSE.match(self._text)
            size = match.end() if match else 0
        piece, self._text = self._text[:size], self._text[size:]
        return piece


@asynccontextmanager
async def _narration(voice: TextToSpeech) -> AsyncIterator[_Narration]:
    narration = _Narration(voice)
    try:
        yield narration
    finally:
        await narration.close()


def _log(voice: TextToSpeech, error: Exception) -> None:
    logger.warning("%s did not speak an answer: %s", voice.name, str(error) or "it took too long")
