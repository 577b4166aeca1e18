"""Documents and chunks as the contract shows them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from apps.core.clock import http_date, local_time, timestamps
from apps.core.wire_profile import profile
from apps.documents.metadata.summary import KeySummary
from apps.documents.models import Document
from ragflow.engine.types import Chunk, DocumentCount, Passage, Retrieval


def uploaded_to_wire(document: Document) -> dict[str, Any]:
    """Return what the answer to an upload holds: the contract leaves counters, progress and times out of it."""
    return {
        "id": document.pk,
        "dataset_id": document.dataset_id,
        "name": document.name,
        "chunk_method": document.chunk_method,
        "pipeline_id": document.pipeline_id,
        "parser_config": document.parser_config,
        "created_by": document.created_by,
        "type": document.type,
        "source_type": document.source_type,
        "suffix": document.suffix,
        "location": document.location,
        "size": document.size,
        "thumbnail": document.thumbnail,
        "run": Document.State(document.state).name,
    }


def document_to_wire(document: Document) -> dict[str, Any]:
    return {
        **uploaded_to_wire(document),
        "chunk_count": document.chunk_count,
        "token_count": document.token_count,
        "progress": document.progress,
        "progress_msg": document.progress_message,
        "process_begin_at": http_date(document.process_begin_at),
        "process_duration": document.process_duration,
        "meta_fields": document.meta_fields,
        "status": "1" if document.enabled else "0",
        **timestamps(document.created_at, document.updated_at),
    }


def listed_to_wire(document: Document) -> dict[str, Any]:
    return {**document_to_wire(document), "title": None}


def positions_to_wire(chunk: Chunk) -> list[list[int]]:
    return [
        [position.page, *(round(edge) for edge in (position.left, position.right, position.top, position.bottom))]
        for position in chunk.positions
    ]


def chunk_to_wire(chunk: Chunk, *, content: str | None = None) -> dict[str, Any]:
    """Return a chunk of a list. `content` is shown in place of the chunk's own (with matches marked)."""
    return {
        "id": chunk.id,
        "content": chunk.content if content is None else content,
        "document_id": chunk.document_id,
        "dataset_id": chunk.dataset_id,
        "docnm_kwd": chunk.document_name,
        "important_keywords": list(chunk.keywords),
        "questions": list(chunk.questions),
        "image_id": chunk.image_id,
        "available": chunk.available,
        "positions": positions_to_wire(chunk),
    }


def added_chunk_to_wire(chunk: Chunk) -> dict[str, Any]:
    return {
        "id": chunk.id,
        "content": chunk.content,
        "document_id": chunk.document_id,
        "dataset_id": chunk.dataset_id,
        "important_keywords": list(chunk.keywords),
        "questions": list(chunk.questions),
        "create_time": local_time(chunk.created_at),
        "create_timestamp": chunk.created_at,
    }


def retrieval_to_wire(retrieval: Retrieval) -> dict[str, Any]:
    return {
        "total": retrieval.total,
        "chunks": [_passage(passage) for passage in retrieval.passages],
        "doc_aggs": [_document_count(entry) for entry in retrieval.documents],
    }


def nothing_asked() -> dict[str, Any]:
    """Return the answer to an empty question. The contract has an object in place of the list of documents there."""
    return {"total": 0, "chunks": [], "doc_aggs": {}}


def nothing_satisfies() -> dict[str, Any]:
    """Return the answer to a question whose metadata condition no document satisfies: the same, and their number."""
    return nothing_asked() | matched_to_wire(0)


def matched_to_wire(documents: int) -> dict[str, Any]:
    """Return what a retrieval adds about the documents that satisfy its metadata condition."""
    return {"matched_docs": documents} if profile().counts_matched_documents else {}


def metadata_summary_to_wire(summary: Mapping[str, KeySummary]) -> dict[str, Any]:
    return {
        key: {"type": entry.kind, "values": [list(pair) for pair in entry.values.most_common()]}
        for key, entry in summary.items()
    }


def dify_record(passage: Passage, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return a passage as Dify reads it; `fields` is the metadata of its document."""
    chunk = passage.chunk
    return {
        "content": chunk.content,
        "score": passage.similarity,
        "title": chunk.document_name,
        "metadata": {**fields, "doc_id": chunk.document_id},
    }


def _document_count(entry: DocumentCount) -> dict[str, Any]:
    return {"doc_id": entry.document_id, "doc_name": entry.document_name, "count": entry.count}


def _passage(passage: Passage) -> dict[str, Any]:
    chunk = passage.chunk
    wire = {
        "id": chunk.id,
        "content": chunk.content,
        "content_ltks": chunk.content.lower(),
        "document_id": chunk.document_id,
        "document_keyword": chunk.document_name,
        "dataset_id": chunk.dataset_id,
        "important_keywords": list(chunk.keywords),
        "image_id": chunk.image_id,
        "positions": positions_to_wire(chunk),
        "similarity": passage.similarity,
        "vector_similarity": passage.vector_similarity,
        "term_similarity": passage.term_similarity,
        "doc_type_kwd": chunk.kind,
        "mom_id": chunk.parent_id,
    }
    return wire if passage.highlight is None else wire | {"highlight": passage.highlight}
