"""From a file to searchable chunks: parse -> chunk -> embed -> store, as a stream of Progress.

Everything flows in slices, so memory stays the same however long the document is, and a large one can be searched
while it is still being read.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ragflow.engine.chunking import ChunkOptions, chunk, is_native
from ragflow.engine.docstore.base import DocStore
from ragflow.engine.embedding.base import Embedder
from ragflow.engine.embedding.chunks import ChunkEmbedder
from ragflow.engine.errors import Cancelled
from ragflow.engine.ids import chunk_id
from ragflow.engine.parsing import Limits, ParseOptions, parse
from ragflow.engine.tables.packing import TablePacker
from ragflow.engine.tokens import count_tokens
from ragflow.engine.types import Block, Chunk, Notice, Piece, Position, Progress, Stage

SLICE = 64
"""Chunks that are embedded and stored at a time."""

READING_SHARE = 0.3
STORING_SHARE = 0.68
"""Parts of the progress; the rest is the removal of the chunks of an earlier run."""

LAST_PAGE = 100_000_001
"""Stands for the last page, in messages, where a format has none: clients of the contract know this number."""


@dataclass(frozen=True, slots=True)
class IngestJob:
    """A document to be made searchable. `parser_config` is the stored one and may hold any values."""

    dataset_id: str
    document_id: str
    document_name: str
    method: str = "naive"
    parser_config: Mapping[str, Any] = field(default_factory=dict)


def ingest(
    source: Path,
    job: IngestJob,
    *,
    embedder: Embedder,
    store: DocStore,
    limits: Limits | None = None,
    table: TablePacker | None = None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Iterator[Progress]:
    """Make a document searchable; the last Progress is DONE, and then every chunk can be found.

    Chunk ids follow from content and document, so running a job again writes the same chunks; those of an earlier run
    that did not come again are removed at the end, hence a search meanwhile never finds the document empty. The rows of
    a spreadsheet that is cut by the method `table` go into `table` too, complete when the job is. To stop,
    close the generator or let `should_stop` return True: it is asked between slices and raises Cancelled. The slices
    stored until then stay, each complete in itself; so they do after a ParseError, ModelError or StoreError.
    """
    started, clock = time.time(), time.perf_counter()
    parse_options = _parse_options(job.parser_config, rows=job.method == "table")
    items = parse(source, job.document_name, options=parse_options, limits=limits or Limits())
    reader = _Reader(items, should_stop)
    writer = _Writer(job, embedder, store, table or TablePacker(), created_at=started)
    tracker = _Tracker(reader, writer)
    if not is_native(job.method):
        yield tracker.step(Stage.PARSE, f'The chunk method "{job.method}" cuts like "naive" in this version.')

    options = ChunkOptions.from_config(job.parser_config)
    for piece in chunk(reader.blocks(), method=job.method, options=options):
        yield from tracker.remarks()
        writer.add(piece)
        if len(writer.waiting) >= SLICE:
            _stop_if(should_stop)
            writer.flush()
            yield tracker.step(Stage.STORE)
    yield from tracker.remarks()
    yield tracker.step(Stage.PARSE, f"Page(1~{reader.last_page or LAST_PAGE}): Finish parsing.")

    _stop_if(should_stop)
    writer.flush()
    if writer.chunks:
        yield tracker.step(Stage.STORE, writer.summary())
    store.delete_document(job.dataset_id, job.document_id, older_than=started)
    seconds = time.perf_counter() - clock
    message = f"Task done ({seconds:.2f}s)" if writer.chunks else f"No chunk built from {job.document_name}"
    yield Progress(Stage.DONE, 1.0, message, writer.chunks, writer.tokens)


class _Reader:
    """Hands the parser's blocks on and keeps what it said in between."""

    def __init__(self, items: Iterable[Block | Notice], should_stop: Callable[[], bool]) -> None:
        self._items = items
        self._should_stop = should_stop
        self.remarks: list[str] = []
        self.fraction = 0.0
        self.last_page = 0

    def blocks(self) -> Iterator[Block]:
        for item in self._items:
            if isinstance(item, Block):
                self.last_page = max([self.last_page, *(position.page for position in item.positions)])
                yield item
                continue
            _stop_if(self._should_stop)
            self.fraction = max(self.fraction, min(item.fraction or 0.0, 1.0))
            if item.message:
                self.remarks.append(item.message)
        self.fraction = 1.0


class _Writer:
    """Turns pieces into stored chunks, a slice at a time."""

    def __init__(
        self, job: IngestJob, embedder: Embedder, store: DocStore, table: TablePacker, *, created_at: float
    ) -> None:
        self._job = job
        self._table = table
        self._embedder = ChunkEmbedder(embedder, job.document_name, job.parser_config)
        self._store = store
        self._created_at = created_at
        self._known: set[str] = set()
        self._embedding_seconds = 0.0
        self._storing_seconds = 0.0
        self.waiting: list[Chunk] = []
        self.chunks = 0
        self.tokens = 0

    @property
    def seen(self) -> int:
        return len(self._known)

    def add(self, piece: Piece) -> None:
        """Queue a piece, unless the document had the same text before. Equal rows of a table stay several rows."""
        identity = chunk_id(piece.text, self._job.document_id)
        if piece.cells:
            self._table.add(identity, piece.cells)
        if identity not in self._known:
            self.waiting.append(self._chunk(identity, piece))
            self._known.add(identity)

    def flush(self) -> None:
        """Embed and store what waits."""
        if not self.waiting:
            return
        start = time.perf_counter()
        vectors = self._embedder.embed(self.waiting)
        embedded = time.perf_counter()
        self._store.upsert(self.waiting, vectors)
        self._embedding_seconds += embedded - start
        self._storing_seconds += time.perf_counter() - embedded
        self.chunks += len(self.waiting)
        self.tokens += sum(chunk.token_count for chunk in self.waiting)
        self.waiting = []

    def summary(self) -> str:
        return (
            f"{self.chunks} chunk{'s' * (self.chunks != 1)}: "
            f"embedding {self._embedding_seconds:.2f}s, indexing {self._storing_seconds:.2f}s."
        )

    def _chunk(self, identity: str, piece: Piece) -> Chunk:
        order = self.seen
        return Chunk(
            id=identity,
            dataset_id=self._job.dataset_id,
            document_id=self._job.document_id,
            document_name=self._job.document_name,
            content=piece.text,
            kind=piece.kind,
            keywords=piece.keywords,
            questions=piece.questions,
            positions=piece.positions or (Position(order + 1, order, order, order, order),),
            parent_id=chunk_id(piece.parent_text, self._job.document_id) if piece.parent_text else "",
            parent_content=piece.parent_text,
            order=order,
            token_count=count_tokens(piece.text),
            created_at=self._created_at,
        )


class _Tracker:
    """Tracks how far the whole job is. The fraction never falls."""

    def __init__(self, reader: _Reader, writer: _Writer) -> None:
        self._reader = reader
        self._writer = writer
        self._fraction = 0.0

    def step(self, stage: Stage, message: str = "") -> Progress:
        stored = self._writer.chunks / self._writer.seen if self._writer.seen else 0.0
        reached = self._reader.fraction * (READING_SHARE + STORING_SHARE * stored)
        self._fraction = max(self._fraction, reached)
        return Progress(stage, self._fraction, message, self._writer.chunks, self._writer.tokens)

    def remarks(self) -> Iterator[Progress]:
        """Yield what the parser said since it was asked last."""
        while self._reader.remarks:
            yield self.step(Stage.PARSE, self._reader.remarks.pop(0))


def _stop_if(should_stop: Callable[[], bool]) -> None:
    if should_stop():
        raise Cancelled("The ingest was stopped on request.")


def _parse_options(config: Mapping[str, Any], *, rows: bool) -> ParseOptions:
    """Read the parser's part of a stored configuration; unusable values count as missing."""
    layout = config.get("layout_recognize")
    if isinstance(layout, bool):
        layout = "DeepDOC" if layout else "Plain Text"
    return ParseOptions(
        layout_recognize=layout if isinstance(layout, str) and layout else "DeepDOC",
        pages=_page_ranges(config.get("pages")),
        html4excel=config.get("html4excel") is True,
        rows=rows,
    )


def _page_ranges(value: object) -> tuple[tuple[int, int], ...] | None:
    """Return the usable [from, to] pairs, or None when there are none."""
    pairs = [pair for pair in value if isinstance(pair, list | tuple)] if isinstance(value, list | tuple) else []
    whole = [pair for pair in pairs if len(pair) == 2 and all(type(page) is int for page in pair)]
    return tuple((first, last) for first, last in whole if 1 <= first <= last) or None
