"""Ask a dataset from the terminal."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import aclosing
from textwrap import shorten
from typing import Any

from django.core.management.base import CommandError, CommandParser

from apps.accounts.language_models import chat_model_for
from apps.accounts.selectors import tenant_of
from apps.chats.models import Assistant
from apps.chats.search import Search, search_of
from apps.core.errors import RagflowError
from apps.core.principal import Principal
from apps.datasets.models import KnowledgeBase
from apps.datasets.selectors import accessible_datasets, named
from ragflow.engine.errors import EngineError
from ragflow.engine.generation.chat import chat
from ragflow.engine.generation.turn import Turn
from ragflow.engine.llm.base import ChatModel
from ragflow.engine.types import Answer, Chunk, Delta, Passage
from ragflow.management.caller import caller
from ragflow.management.command import InstallationCommand

NOTHING_FOUND = "The dataset holds nothing about that."
EXCERPT = 200  # characters


class Command(InstallationCommand):
    help = "Answer a question from a dataset, and list the passages that the answer cites."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("question")
        parser.add_argument("--dataset", required=True, help="Name of the dataset.")
        parser.add_argument("--email", default="", help="Whose dataset. Default: the first operator's.")

    def handle(self, *args: Any, question: str, dataset: str, email: str, **options: Any) -> None:
        principal = caller(email)
        try:
            search = search_of(Assistant(), [_dataset(principal, dataset)], None)
            model = chat_model_for(tenant_of(principal))
            answer = asyncio.run(self._answer(question, model, search))
        except (RagflowError, EngineError) as error:
            raise CommandError(str(error)) from None
        self.stdout.write("\n\nCited:")
        for line in _citations(answer):
            self.stdout.write(line)

    async def _answer(self, question: str, model: ChatModel, search: Search) -> Answer:
        """Write the answer as it comes, and return it."""
        turn = Turn(question, empty_response=NOTHING_FOUND, insert_citations=True)
        events = chat(turn, model=model, retrieve=search, similarities=search.similarities)
        async with aclosing(events):
            async for event in events:
                if isinstance(event, Delta):
                    self.stdout.write(event.text, ending="")
                    self.stdout.flush()
                if isinstance(event, Answer):
                    return event
        raise CommandError("The model ended without an answer.")


def _dataset(principal: Principal, name: str) -> KnowledgeBase:
    dataset = named(accessible_datasets(principal), name).first()
    if dataset is None:
        names = ", ".join(accessible_datasets(principal).values_list("name", flat=True)) or "none"
        raise CommandError(f"There is no dataset {name!r}. Those there are: {names}.")
    return dataset


def _citations(answer: Answer) -> Iterator[str]:
    if not answer.cited:
        yield "nothing."
    for number in answer.cited:
        passage: Passage = answer.retrieval.passages[number]
        chunk = passage.chunk
        yield f"[ID:{number}] {chunk.document_name}, {_place(chunk)}, similarity {passage.similarity:.2f}"
        yield "       " + shorten(chunk.content, EXCERPT, placeholder=" …")


def _place(chunk: Chunk) -> str:
    """Say where the passage stands: page and rectangle in points, or its number where the format has no pages."""
    if not chunk.positions:
        return "added by hand" if chunk.manual else f"part {chunk.order + 1}"
    first = chunk.positions[0]
    if first.left == first.right == first.top == first.bottom:
        return f"part {first.page}"
    return f"page {first.page} ({first.left:.0f}, {first.top:.0f}) to ({first.right:.0f}, {first.bottom:.0f})"
