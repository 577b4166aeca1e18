"""Adding, changing and deleting chunks by hand.

The model is asked first, outside any transaction. Then the document's row is locked while the store and the counters
change, so a chunk is counted once, and none comes back to a document that is being deleted or parsed again.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from django.db import transaction

from apps.accounts.language_models import embedder_for
from apps.core.errors import Conflict, DataError, LookupFailed, NotFound
from apps.core.many import slices
from apps.core.wire_profile import profile
from apps.datasets.engine import doc_store
from apps.datasets.models import KnowledgeBase
from apps.documents.models import Document
from apps.documents.services.auditing import note_chunks
from apps.documents.services.rows import count_chunks, locked
from ragflow.engine.chunking.pairs import labelled_pair
from ragflow.engine.embedding.chunks import ChunkEmbedder, searchable
from ragflow.engine.ids import chunk_id
from ragflow.engine.tokens import count_tokens
from ragflow.engine.types import Chunk, Matrix

_ATTEMPTS = 20
_SLICE = 200


def add_chunk(*, document: Document, content: str, keywords: Sequence[str], questions: Sequence[str]) -> Chunk:
    """Add a chunk to a document and return it; it can be found at once.

    Content that the document has already is the same chunk, which is replaced. Raises NotFound when the document has
    been deleted, ModelError or StoreError when the chunk could not be embedded or stored; then nothing has changed.
    """
    draft = Chunk(
        id=chunk_id(content, document.pk),
        dataset_id=document.dataset_id,
        document_id=document.pk,
        document_name=document.name,
        content=content,
        keywords=tuple(keywords),
        questions=tuple(questions),
        manual=True,
        token_count=count_tokens(content),
    )
    for _ in range(_ATTEMPTS):
        vectors = _embedder(document).embed([draft])
        chunk = _added(document, draft, vectors)
        if chunk is not None:
            return chunk
    raise _busy()


@transaction.atomic
def _added(document: Document, draft: Chunk, vectors: Matrix) -> Chunk | None:
    """Store a new chunk, or return None if its vector is of another model than the dataset has by now."""
    row = locked(document)
    if row is None:
        raise NotFound(f"You don't own the document {document.pk}.")
    if not _has_model_still(document):
        return None
    known = doc_store().get([row.dataset_id], draft.id)
    chunk = replace(draft, document_name=row.name, available=row.enabled, created_at=time.time())
    doc_store().upsert([chunk], vectors, space=document.dataset.vector_space)
    if known is None or profile().counts_every_added_chunk:
        count_chunks(row, chunks=1, tokens=chunk.token_count)
    else:
        count_chunks(row, chunks=0, tokens=chunk.token_count - known.token_count)
    note_chunks("create", document, chunk=chunk.id)
    return chunk


def update_chunk(*, document: Document, chunk: Chunk, changes: Mapping[str, Any]) -> Chunk:
    """Change fields of a chunk and return it. It keeps its id and its place, and can be found as it is now at once.

    Of several that change a chunk at once each takes effect; where they change the same field, the last one holds.
    Raises NotFound when the chunk is gone, DataError for content that a document of pairs cannot hold, ModelError or
    StoreError as `add_chunk` does.
    """
    changes = _as_pair(changes) if document.chunk_method == "qa" else changes
    embedder = _embedder(document)
    for _ in range(_ATTEMPTS):
        changed = _changed(chunk, changes)
        vectors = embedder.embed([changed])
        with transaction.atomic():
            row = locked(document)
            current = doc_store().get([document.dataset_id], chunk.id) if row is not None else None
            if row is None or current is None:
                raise chunk_not_found(chunk.id)
            written = replace(_changed(current, changes), document_name=row.name)
            has_model = _has_model_still(document)
            if has_model and searchable(written) == searchable(changed):
                doc_store().upsert([written], vectors, space=document.dataset.vector_space)
                count_chunks(row, chunks=0, tokens=written.token_count - current.token_count)
                note_chunks("update", document, chunk=chunk.id, fields=sorted(changes))
                return written
        chunk = current  # somebody else changed what the vector stands for, or by which model
        embedder = embedder if has_model else _embedder(document)
    raise _busy()


def set_available(*, document: Document, ids: Sequence[str], available: bool) -> int:
    """Decide whether retrieval considers these chunks of a document, and return how many of them there are.

    Raises LookupFailed when the document has been deleted meanwhile.
    """
    with transaction.atomic():
        row = locked(document)
        if row is None:
            raise document_not_found(document.pk)
        changed = doc_store().set_available(row.dataset_id, row.pk, available, ids)
        if changed:
            note_chunks("update", document, count=changed, fields=["available"])
    return changed


def delete_chunks(*, document: Document, ids: Sequence[str] | None) -> int:
    """Delete these chunks of a document, or all when `ids` is None, and return how many there were.

    Raises LookupFailed when the document has been deleted meanwhile, StoreError when the store fails; what was deleted
    until then is counted off.
    """
    deleted = 0
    try:
        for slice_ in _slices(document, ids):
            deleted += _delete_slice(document, slice_)
    finally:
        if deleted:
            note_chunks("delete", document, count=deleted)
    return deleted


def chunk_not_found(id_: str) -> NotFound:
    return NotFound(f"Can't find this chunk {id_}")


def document_not_found(id_: str) -> LookupFailed:
    return LookupFailed(f"Can't find the document with ID {id_}!")


def _slices(document: Document, ids: Sequence[str] | None) -> Iterator[Sequence[str]]:
    if ids is not None:
        yield from slices(ids, _SLICE)
        return
    place = document.dataset_id, document.pk
    while chunks := doc_store().list_chunks(*place, offset=0, limit=_SLICE).chunks:
        yield [chunk.id for chunk in chunks]


@transaction.atomic
def _delete_slice(document: Document, ids: Sequence[str]) -> int:
    row = locked(document)
    if row is None:
        raise document_not_found(document.pk)
    deleted = doc_store().delete_chunks(row.dataset_id, row.pk, ids)
    count_chunks(row, chunks=-deleted.chunks, tokens=-deleted.tokens)
    return deleted.chunks


def _embedder(document: Document) -> ChunkEmbedder:
    embedder = embedder_for(document.dataset.embedding_model, document.dataset.tenant_id)
    return ChunkEmbedder(embedder, document.name, document.parser_config)


def _has_model_still(document: Document) -> bool:
    """Lock the dataset of a locked document, and tell whether it has the vectors of the document's dataset as known.

    If not, the document knows its dataset as it is now.
    """
    known = document.dataset
    document.dataset = KnowledgeBase.objects.select_for_update(of=("self",)).get(pk=known.pk)
    return document.dataset.vector_space == known.vector_space


def _busy() -> Conflict:
    return Conflict("Too many others are changing this at this moment. Try again.")


def _changed(chunk: Chunk, changes: Mapping[str, Any]) -> Chunk:
    changed = replace(chunk, **changes)
    if changed.content == chunk.content:
        return changed
    # A part of a larger chunk is shown as that chunk's text, where the new words are not.
    return replace(changed, token_count=count_tokens(changed.content), parent_id="", parent_content="")


def _as_pair(changes: Mapping[str, Any]) -> Mapping[str, Any]:
    """Label question and answer in the new content of a document that consists of them."""
    if "content" not in changes:
        return changes
    pair = labelled_pair(changes["content"])
    if pair is None:
        raise DataError("Q&A must be separated by TAB/ENTER key.")
    return {**changes, "content": pair}
