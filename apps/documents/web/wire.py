"""Documents and chunks by the contract's stored names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from apps.accounts.models import User
from apps.core.clock import http_date, timestamps
from apps.documents.models import Document
from apps.documents.wire import positions_to_wire
from ragflow.engine.types import Chunk


def uploaded_document_to_wire(document: Document) -> dict[str, Any]:
    """Return what the answer to an upload holds: no counters, no progress and no times."""
    return {
        "id": document.pk,
        "kb_id": document.dataset_id,
        "parser_id": document.chunk_method,
        "pipeline_id": document.pipeline_id,
        "parser_config": document.parser_config,
        "created_by": document.created_by,
        "type": document.type,
        "name": document.name,
        "source_type": document.source_type,
        "suffix": document.suffix,
        "location": document.location,
        "size": document.size,
        "thumbnail": document.thumbnail,
    }


def stored_document_to_wire(document: Document) -> dict[str, Any]:
    """Return the whole record of a document."""
    return {
        **uploaded_document_to_wire(document),
        "token_num": document.token_count,
        "chunk_num": document.chunk_count,
        "progress": document.progress,
        "progress_msg": document.progress_message,
        "process_begin_at": http_date(document.process_begin_at),
        "process_duration": document.process_duration,
        "meta_fields": document.meta_fields,
        "run": document.state,
        "status": "1" if document.enabled else "0",
        **timestamps(document.created_at, document.updated_at),
    }


def listed_document_to_wire(document: Document, creator: User | None) -> dict[str, Any]:
    return {
        **stored_document_to_wire(document),
        "source_type": document.source_type.partition("/")[0],
        "pipeline_name": None,
        "nickname": creator.nickname if creator else "",
    }


def filters_to_wire(documents: Iterable[tuple[str, str, dict[str, Any]]]) -> dict[str, Any]:
    """Return how many documents each filter of a list would leave. Each entry: suffix, state, metadata."""
    suffixes: Counter[str] = Counter()
    states: Counter[str] = Counter()
    metadata: dict[str, Counter[str]] = {}
    without = 0
    for suffix, state, fields in documents:  # one after the other: they may be very many
        suffixes[suffix] += 1
        states[state] += 1
        without += not fields
        for key, value in fields.items():
            counts = metadata.setdefault(key, Counter())
            counts.update({str(item) for item in (value if isinstance(value, list) else [value])})
    described: dict[str, Any] = {key: dict(counts) for key, counts in metadata.items()}
    described["empty_metadata"] = {"true": without}
    return {
        "total": states.total(),
        "filter": {"suffix": dict(suffixes), "run_status": dict(states), "metadata": described},
    }


def listed_chunk_to_wire(chunk: Chunk, *, content: str | None = None) -> dict[str, Any]:
    """Return a chunk of a list. `content` is shown in place of the chunk's own (with matches marked)."""
    return {
        "chunk_id": chunk.id,
        "content_with_weight": chunk.content if content is None else content,
        "doc_id": chunk.document_id,
        "docnm_kwd": chunk.document_name,
        "important_kwd": list(chunk.keywords),
        "question_kwd": list(chunk.questions),
        "image_id": chunk.image_id,
        "available_int": int(chunk.available),
        "positions": positions_to_wire(chunk),
        "doc_type_kwd": chunk.kind,
    }


def shown_chunk_to_wire(chunk: Chunk) -> dict[str, Any]:
    """Return one chunk as it is stored, without its vector."""
    shown = {name: value for name, value in listed_chunk_to_wire(chunk).items() if name != "chunk_id"}
    return {
        **shown,
        "id": chunk.id,
        "kb_id": chunk.dataset_id,
        "create_time": f"{datetime.fromtimestamp(chunk.created_at, UTC):%Y-%m-%d %H:%M:%S}",
        "create_timestamp_flt": chunk.created_at,
    }
