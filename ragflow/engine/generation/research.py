"""Deep research: search, let the model say what is still missing, search for that, and so on."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from typing import Any

from ragflow.engine.errors import ModelError
from ragflow.engine.generation.conversation import search_text
from ragflow.engine.generation.prompt import compose
from ragflow.engine.generation.related import ENTRY
from ragflow.engine.generation.turn import Turn
from ragflow.engine.generation.wording import MISSING
from ragflow.engine.llm.base import ChatModel
from ragflow.engine.llm.complete import complete
from ragflow.engine.retrieval.web import documents_of
from ragflow.engine.side_by_side import side_by_side
from ragflow.engine.types import Passage, Retrieval, Retrieve

logger = logging.getLogger(__name__)

DEPTH = 3  # rounds of searches
MOST_SEARCHES = 3  # of one round
LONGEST_SEARCH = 300  # characters
OPTIONS: Mapping[str, Any] = {"temperature": 0.2}


async def research(turn: Turn, model: ChatModel, retrieve: Retrieve) -> AsyncGenerator[str | Retrieval, None]:
    """Yield remarks on what is being done, and at the end everything that was found, best first within each round.

    Where the model cannot say what is missing, what was found so far has to do. Raises whatever `retrieve` raises.
    """
    found: dict[str, Passage] = {}
    asked: set[str] = set()
    searches = [await search_text(turn, model)]
    for depth in range(DEPTH):
        asked |= {search.casefold() for search in searches}
        for search in searches:
            yield f"Searching for: {search}<br/>"
        known = len(found)
        for result in await side_by_side(retrieve(search) for search in searches):
            for passage in result.passages:
                found.setdefault(passage.chunk.id, passage)
        yield f"Passages found that were not known yet: {len(found) - known}<br/>"
        if depth + 1 == DEPTH or len(found) == known:
            break
        searches = await _missing(turn.question, model, tuple(found.values()), asked)
        if not searches:
            break
    passages = tuple(found.values())
    yield Retrieval(passages, len(passages), documents_of(passages))


async def _missing(question: str, model: ChatModel, found: Sequence[Passage], asked: Collection[str]) -> list[str]:
    """Return what to search for next, nothing when the passages suffice."""
    turn = Turn(question=question, system=MISSING.replace("{count}", str(MOST_SEARCHES)), quote=False, options=OPTIONS)
    prompt = await asyncio.to_thread(compose, turn, found, model.context_tokens)
    try:
        answer = await complete(model, prompt.messages, options=prompt.options)
    except ModelError as error:
        logger.warning("%s did not go on with the research: %s", model.name, error)
        return []
    wanted = dict.fromkeys(entry[:LONGEST_SEARCH] for entry in ENTRY.findall(answer.text))
    return [search for search in wanted if search.casefold() not in asked][:MOST_SEARCHES]
