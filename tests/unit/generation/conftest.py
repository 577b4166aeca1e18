"""Passages and a scripted chat model."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any

import pytest

from ragflow.engine.types import Chunk, DocumentCount, Message, ModelEvent, Passage, Retrieval, TextDelta


def passage(number: int, content: str, *, document: str = "") -> Passage:
    document = document or f"doc{number}"
    chunk = Chunk(f"chunk{number}", "dataset", document, f"{document}.txt", content)
    return Passage(chunk, similarity=0.8, term_similarity=0.7, vector_similarity=0.9)


def retrieval(*contents: str) -> Retrieval:
    passages = tuple(passage(number, content) for number, content in enumerate(contents))
    counts = tuple(DocumentCount(p.chunk.document_id, p.chunk.document_name, 1) for p in passages)
    return Retrieval(passages, len(passages), counts)


class ScriptedModel:
    """Plays one list of events per request (an exception among them is raised) and keeps what it was asked."""

    def __init__(self, *answers: str | Sequence[ModelEvent | Exception], can_instruct: bool = True) -> None:
        self.name = "scripted@Test"
        self.context_tokens = 8192
        self.can_instruct = can_instruct
        self.requests: list[tuple[Message, ...]] = []
        self.options: list[Mapping[str, Any]] = []
        self.passages: list[tuple[Passage, ...]] = []
        self.closed = 0
        self._answers = [[TextDelta(answer)] if isinstance(answer, str) else answer for answer in answers]

    async def stream(
        self, messages: Sequence[Message], *, options: Mapping[str, Any], passages: Sequence[Passage] = ()
    ) -> AsyncGenerator[ModelEvent, None]:
        self.requests.append(tuple(messages))
        self.options.append(options)
        self.passages.append(tuple(passages))
        try:
            for event in self._answers[len(self.requests) - 1]:
                if isinstance(event, Exception):
                    raise event
                yield event
        finally:
            self.closed += 1


class Searcher:
    """Answers every search with the same passages and keeps what was searched for."""

    def __init__(self, *contents: str) -> None:
        self.found = retrieval(*contents)
        self.searched: list[str] = []

    async def __call__(self, text: str) -> Retrieval:
        self.searched.append(text)
        return self.found


@pytest.fixture
def facts() -> Searcher:
    return Searcher("Paris is the capital of France.", "Berlin is the capital of Germany.", "Rome lies in Italy.")
