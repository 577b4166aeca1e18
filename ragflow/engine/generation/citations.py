"""Citation markers in answers: [ID:n] cites passage n.

Models also write (ID: 2), 【ID: 2】, [ID:1, ID:2] or ref2; these become the one form. A marker in square brackets that
names no passage is removed. Where a model cites nothing at all, sentences can be matched to passages afterwards.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ragflow.engine.chunking.sentences import sentences
from ragflow.engine.types import Answer, Chunk, DocumentCount, Passage, Retrieval

_NUMBER = r"ID\s{0,2}[:：]\s{0,2}\d{1,4}"
_FURTHER = rf"\s{{0,2}}[,;，；、]\s{{0,2}}(?:{_NUMBER}|\d{{1,4}})"
MARKER = re.compile(
    rf" ?(?:(?P<square>[\[【]\s{{0,2}}{_NUMBER}(?:{_FURTHER}){{0,15}}\s{{0,2}}[\]】])"
    rf"|\(\s{{0,2}}{_NUMBER}\s{{0,2}}\)"
    r"|(?<![A-Za-z0-9_])ref\d{1,4}(?![A-Za-z0-9_]))",
    re.IGNORECASE,
)
STARTED = re.compile(r" ?(?:[\[【(][\sID\d:：,;，；、]{0,260}|(?<![A-Za-z0-9_])(?:r|re|ref\d{0,4}))?\Z", re.IGNORECASE)
"""The end of a text with which a marker may begin. Every beginning of a MARKER matches it."""

DIGITS = re.compile(r"\d+")

START_THRESHOLD = 0.63
END_THRESHOLD = 0.3
THRESHOLD_STEP = 0.8
NEAR_BEST = 0.99
MOST_PER_SENTENCE = 4
SHORTEST_SENTENCE = 5  # characters

_ONE_MARKER = re.compile(r" ?\[ID:(\d+)\]")
WITHDRAWN = Passage(Chunk(id="", dataset_id="", document_id="", document_name="", content=""), 0.0, 0.0, 0.0)
"""Stands where a passage was that may not be shown any more."""

FENCE = "```"
FENCED = re.compile(r"(```.*?(?:```|\Z))", re.DOTALL)

Similarities = Callable[[Sequence[str], Sequence[Passage]], NDArray[np.float32]]
"""Takes n sentences and m passages; returns how similar they are, shape (n, m), 0..1."""


class CitationStream:
    """Brings the markers of a streamed answer into the one form, as the text passes.

    Only what may be the beginning of a marker is held back, until the next piece tells. The joined output does not
    depend on how the text was split.
    """

    def __init__(self, passages: int) -> None:
        self._passages = passages
        self._held = ""
        self._last = ""  # the character before what is held
        self.cited: set[int] = set()

    def feed(self, text: str) -> str:
        """Take the next piece of the answer; return what can be shown."""
        self._held += text
        started = STARTED.search(self._last + self._held, len(self._last))
        return self._release(len(self._held) if started is None else started.start() - len(self._last))

    def finish(self) -> str:
        """Return what is still held; no text follows."""
        return self._release(len(self._held))

    def _release(self, size: int) -> str:
        start = len(self._last)
        text, self._held = self._last + self._held[:size], self._held[size:]
        shown: list[str] = []
        for match in MARKER.finditer(text, start):
            shown += [text[start : match.start()], self._replaced(match)]
            start = match.end()
        self._last = text[-1:]
        return "".join([*shown, text[start:]])

    def _replaced(self, match: re.Match[str]) -> str:
        numbers = [int(digits) for digits in DIGITS.findall(match.group())]
        valid = [number for number in dict.fromkeys(numbers) if number < self._passages]
        if not valid:
            return "" if match["square"] else match.group()
        self.cited.update(valid)
        return " " * match.group().startswith(" ") + "".join(f"[ID:{number}]" for number in valid)


@dataclass(frozen=True, slots=True)
class Cited:
    text: str
    passages: tuple[int, ...]  # indexes, ascending


def insert_citations(answer: str, passages: Sequence[Passage], similarities: Similarities) -> Cited:
    """Cite the passages that sentences agree with, as ` [ID:n]` at the end of each.

    The threshold starts at 0.63 and falls by a fifth until something is cited, or to 0.3. A sentence gets up to four
    passages that are within one per cent of its best one; a passage is cited once in the whole answer. Code, table
    rows and sentences of less than five characters are not cited.
    """
    parts = list(_parts(answer))
    citable = [number for number, part in enumerate(parts) if _is_citable(part)]
    if not citable or not passages:
        return Cited(answer, ())
    matrix = similarities([parts[number].strip() for number in citable], passages)
    used: set[int] = set()
    for row, columns in _matches(matrix).items():
        fresh = [column for column in columns if column not in used]
        used.update(fresh)
        parts[citable[row]] = _marked(parts[citable[row]], fresh)
    return Cited("".join(parts), tuple(sorted(used)))


def cited_documents(retrieval: Retrieval, cited: Sequence[int]) -> tuple[DocumentCount, ...]:
    """Return the documents of the cited passages; all documents when nothing was cited."""
    documents = {retrieval.passages[index].chunk.document_id for index in cited}
    return tuple(count for count in retrieval.documents if not documents or count.document_id in documents)


def withdraw(answer: Answer, available: Collection[str]) -> Answer:
    """Return the answer without citations of passages that are not `available` (chunk ids) any more.

    Their markers go. Their places in the list stay, emptied, so that the other markers keep their meaning.
    """
    passages = answer.retrieval.passages
    gone = {number for number, passage in enumerate(passages) if passage.chunk.id not in available}
    if not gone:
        return answer
    left = {passage.chunk.document_id for number, passage in enumerate(passages) if number not in gone}
    lost = {passages[number].chunk.document_id for number in gone} - left
    retrieval = replace(
        answer.retrieval,
        passages=tuple(WITHDRAWN if number in gone else passage for number, passage in enumerate(passages)),
        documents=tuple(item for item in answer.retrieval.documents if item.document_id not in lost),
    )
    cited = tuple(number for number in answer.cited if number not in gone)
    text = _ONE_MARKER.sub(lambda match: "" if int(match[1]) in gone else match[0], answer.text)
    return replace(answer, text=text, retrieval=retrieval, cited=cited)


def _parts(answer: str) -> Iterator[str]:
    for part in FENCED.split(answer):
        if part.startswith(FENCE):
            yield part
        else:
            yield from sentences(part)


def _is_citable(part: str) -> bool:
    text = part.strip()
    return len(text) >= SHORTEST_SENTENCE and not text.startswith((FENCE, "|")) and not text.endswith("|")


def _matches(matrix: NDArray[np.float32]) -> dict[int, list[int]]:
    """Return, for the sentences above the highest threshold that any of them reaches, their best passages."""
    best = matrix.max(axis=1)
    threshold = START_THRESHOLD
    while threshold > END_THRESHOLD:
        if rows := np.flatnonzero(best >= threshold).tolist():
            return {row: _near_best(matrix[row]) for row in rows}
        threshold *= THRESHOLD_STEP
    return {}


def _near_best(similarities: NDArray[np.float32]) -> list[int]:
    order: list[int] = np.argsort(-similarities, kind="stable")[:MOST_PER_SENTENCE].tolist()
    return [column for column in order if similarities[column] >= NEAR_BEST * similarities[order[0]]]


def _marked(sentence: str, passages: Sequence[int]) -> str:
    text = sentence.rstrip()
    return text + "".join(f" [ID:{number}]" for number in passages) + sentence[len(text) :]
