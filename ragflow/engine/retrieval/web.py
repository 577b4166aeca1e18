"""Passages from the web, found by Tavily, beside those of the datasets.

What comes from the web is not stored. Its passages have ids of their own, no dataset, and the address of their page.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import xxhash

from ragflow.engine.errors import ModelError
from ragflow.engine.http import Endpoint, apost_json, malformed
from ragflow.engine.ids import chunk_id
from ragflow.engine.types import Chunk, DocumentCount, Passage

logger = logging.getLogger(__name__)

MOST_RESULTS = 6
SECONDS = 10.0  # that one search may take, further attempts included
PATIENCE = 2.0  # seconds a person waits when the service asks for it
LONGEST_QUERY = 400  # characters that Tavily takes


@dataclass(frozen=True, slots=True)
class WebSearch:
    """Searches the web with a key of Tavily's."""

    endpoint: Endpoint

    async def __call__(self, text: str) -> tuple[Passage, ...]:
        """Return up to six passages, best first; none when the service fails, which is logged."""
        query = " ".join(text.split())[:LONGEST_QUERY]
        if not query:
            return ()
        body = {"query": query, "search_depth": "advanced", "max_results": MOST_RESULTS}
        try:
            async with asyncio.timeout(SECONDS):
                answer = await apost_json(
                    self.endpoint, "search", body, kind="web_search", read_timeout=SECONDS, patience=PATIENCE
                )
            return tuple(_passages(self.endpoint, answer))[:MOST_RESULTS]
        except (ModelError, TimeoutError) as error:
            logger.warning("The web was not searched: %s", str(error) or f"it took longer than {SECONDS:g} seconds")
            return ()


def documents_of(passages: Sequence[Passage]) -> tuple[DocumentCount, ...]:
    """Return the documents and pages that passages are from, most passages first."""
    counts = Counter((passage.chunk.document_id, passage.chunk.document_name, passage.url) for passage in passages)
    return tuple(DocumentCount(id_, name, count, url) for (id_, name, url), count in counts.most_common())


def _passages(endpoint: Endpoint, answer: Any) -> Iterator[Passage]:
    """Read an answer of Tavily's. Results without text, or with an address that is not of the web, are left out."""
    results = answer.get("results") if isinstance(answer, dict) else None
    if not isinstance(results, list):
        raise malformed(endpoint, "something that is not a list of results")
    for result in results:
        if isinstance(result, dict) and (passage := _passage(result)):
            yield passage


def _passage(result: dict[str, Any]) -> Passage | None:
    url, title, content = (_text(result.get(key)) for key in ("url", "title", "content"))
    if not content or not _is_page(url):
        return None
    page = xxhash.xxh3_128_hexdigest(url.encode())
    chunk = Chunk(chunk_id(content, page), dataset_id="", document_id=page, document_name=title or url, content=content)
    score = result.get("score")
    number = float(score) if isinstance(score, int | float) and math.isfinite(score) else 0.0
    return Passage(chunk, similarity=number, term_similarity=0.0, vector_similarity=number, url=url)


def _text(value: Any) -> str:
    """Return the text, without NUL, which not every database keeps."""
    return value.replace("\0", "").strip() if isinstance(value, str) else ""


def _is_page(url: str) -> bool:
    """Tell whether clients may show the address as a link."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname)
