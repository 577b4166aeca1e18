"""The values that travel between the stages of the engine. All are frozen; none knows Django or HTTP.

file --parsing--> Block --chunking--> Piece --ingest--> Chunk + vector --docstore--> Candidates --retrieval--> Passage
                                                                                         --generation--> Event
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:  # the helper process of PDFs reads no vectors, and loading numpy takes half of its start
    import numpy as np
    from numpy.typing import NDArray

Vector: TypeAlias = "NDArray[np.float32]"
"""Shape (d,), unit length."""

Matrix: TypeAlias = "NDArray[np.float32]"
"""Shape (n, d), rows of unit length."""


# -- parsing and chunking ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Position:
    """A rectangle on a page. `page` counts from 1; the edges are in points (1/72 inch) from the top left corner.

    Formats without pages have no rectangles; the ingest gives their n-th chunk the ordinal position (n+1, n, n, n, n).
    """

    page: int
    left: float
    right: float
    top: float
    bottom: float


class BlockKind(StrEnum):
    PLAIN = "plain"  # running text of txt, source code and mail: the only kind cut at single delimiter characters
    TEXT = "text"  # a paragraph, list item, row or other unit that the format itself marks
    HEADING = "heading"
    TABLE = "table"  # text is HTML: <table>...</table>
    IMAGE = "image"  # text is a caption or what OCR read
    ROW = "row"  # of a spreadsheet: text is one line per cell, and `cells` holds them all


@dataclass(frozen=True, slots=True)
class Block:
    """One unit of a parsed file, in reading order."""

    text: str
    kind: BlockKind = BlockKind.TEXT
    level: int = 0  # 1..6 for headings
    positions: tuple[Position, ...] = ()
    cells: tuple[tuple[str, str], ...] = ()  # (header, text) of a row


@dataclass(frozen=True, slots=True)
class Notice:
    """A remark of a parser: how far it is, or what it had to leave out and why."""

    message: str = ""  # a sentence for the document's progress text; empty when only the fraction moved
    fraction: float | None = None  # 0..1 of the file read so far


@dataclass(frozen=True, slots=True)
class Piece:
    """What a chunk method cuts from blocks: a chunk before it has an identity or a vector."""

    text: str
    kind: Literal["", "table", "image"] = ""
    positions: tuple[Position, ...] = ()
    parent_text: str = ""  # set on child chunks: the whole text of the chunk they were cut from
    keywords: tuple[str, ...] = ()
    questions: tuple[str, ...] = ()
    cells: tuple[tuple[str, str], ...] = ()  # (header, text) of a spreadsheet's row, to be asked by SQL


# -- document store ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Chunk:
    """A stored chunk, without its vector."""

    id: str  # 16 hex characters: xxh64(content + document_id); see ids.chunk_id
    dataset_id: str
    document_id: str
    document_name: str
    content: str
    kind: Literal["", "table", "image"] = ""
    keywords: tuple[str, ...] = ()
    questions: tuple[str, ...] = ()
    positions: tuple[Position, ...] = ()
    parent_id: str = ""
    parent_content: str = ""
    image_id: str = ""
    available: bool = True
    manual: bool = False  # added by hand: its document's name is not searchable text, and it lists after parsed chunks
    order: int = 0  # ordinal within the document for parsed chunks
    token_count: int = 0  # cl100k_base tokens of the content
    created_at: float = 0.0  # Unix seconds


# -- retrieval -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Passage:
    """A retrieved chunk as API, chat and command line show it."""

    chunk: Chunk
    similarity: float
    term_similarity: float
    vector_similarity: float
    highlight: str | None = None  # original text with <em>; None when highlighting is off
    url: str = ""  # of a page of the web, whose chunk is in no dataset; empty for stored chunks


@dataclass(frozen=True, slots=True)
class DocumentCount:
    document_id: str
    document_name: str
    count: int
    url: str = ""  # as in Passage


@dataclass(frozen=True, slots=True)
class Retrieval:
    """One page of results. `total` and `documents` cover everything above the threshold, not only the page."""

    passages: tuple[Passage, ...]
    total: int
    documents: tuple[DocumentCount, ...]


Retrieve: TypeAlias = Callable[[str], Awaitable[Retrieval]]
"""Searches datasets or the web for a text."""


# -- models --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Message:
    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True, slots=True)
class Usage:
    """Token counts of one answer. `estimated` when the provider named none and cl100k_base was used."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    estimated: bool = True

    @property
    def total_tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens


@dataclass(frozen=True, slots=True)
class TextDelta:
    text: str


@dataclass(frozen=True, slots=True)
class ReasoningDelta:
    text: str


ModelEvent = TextDelta | ReasoningDelta | Usage
"""What a chat model yields: text and reasoning pieces in order, then at most one Usage."""


# -- generation ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Retrieved:
    """Before the first token: what the answer may cite. Encoders keep it; it is not a frame of its own."""

    retrieval: Retrieval
    from_rows: bool = False  # as in Answer


@dataclass(frozen=True, slots=True)
class ThinkingStarted:
    pass


@dataclass(frozen=True, slots=True)
class Thinking:
    text: str


@dataclass(frozen=True, slots=True)
class ThinkingEnded:
    pass


@dataclass(frozen=True, slots=True)
class Delta:
    text: str
    audio: bytes = b""  # MP3 of sentences before, where the assistant speaks along


@dataclass(frozen=True, slots=True)
class Answer:
    """The last event of a good turn."""

    text: str  # the whole answer with citation markers [ID:n], without thoughts
    thoughts: str
    retrieval: Retrieval
    cited: tuple[int, ...]  # indexes into retrieval.passages, ascending
    usage: Usage
    prompt: str  # the system text and the query, for diagnosis
    grounded: bool = True  # False when nothing was retrieved and the configured empty response was given
    timings: Mapping[str, float] = field(default_factory=dict)  # seconds by stage
    audio: bytes = b""  # MP3 of its beginning, where the assistant speaks at the end
    messages: tuple[Message, ...] = ()  # what the model was asked with; none where the answer was not written by it
    from_rows: bool = False  # True: read from spreadsheets by SQL; each passage stands for a row, naming its document


Event = Retrieved | ThinkingStarted | Thinking | ThinkingEnded | Delta | Answer
"""What a turn yields. Failures are raised as EngineError; encoders turn them into a frame."""


# -- ingest --------------------------------------------------------------------------------------------------------


class Stage(StrEnum):
    """What an ingest does. Cutting and embedding have no step of their own: slices flow through all of it."""

    PARSE = "parse"
    STORE = "store"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class Progress:
    """A step of an ingest. `chunks` and `tokens` are totals stored so far."""

    stage: Stage
    fraction: float  # 0..1 of the whole job
    message: str = ""
    chunks: int = 0
    tokens: int = 0
