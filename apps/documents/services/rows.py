"""The row of a document while its chunks change: locking it, and counting for it and its dataset."""

from __future__ import annotations

from django.db.models import F

from apps.datasets.engine import doc_store
from apps.datasets.models import KnowledgeBase
from apps.documents.models import Document


def locked(document: Document) -> Document | None:
    """Lock a document's row until the transaction ends and return it as it is now; None when it has been deleted."""
    live = Document.objects.filter(pk=document.pk, deleted_at__isnull=True)
    return live.select_for_update(of=("self",)).first()


def count_chunks(document: Document, *, chunks: int, tokens: int) -> None:
    """Add to the counters of a locked document and of its dataset.

    Chunks of a run that has not ended are not counted yet, but can be deleted: no counter falls below zero for that.
    """
    chunks, tokens = max(chunks, -document.chunk_count), max(tokens, -document.token_count)
    counters = {"chunk_count": F("chunk_count") + chunks, "token_count": F("token_count") + tokens}
    Document.objects.filter(pk=document.pk).update(**counters)
    KnowledgeBase.objects.filter(pk=document.dataset_id).update(**counters)
    document.chunk_count += chunks
    document.token_count += tokens


def recount(document: Document) -> None:
    """Set a locked document's counters, and its dataset's, by what the store holds. The caller saves the document."""
    found = doc_store().count(document.dataset_id, document.pk)
    KnowledgeBase.objects.filter(pk=document.dataset_id).update(
        chunk_count=F("chunk_count") + found.chunks - document.chunk_count,
        token_count=F("token_count") + found.tokens - document.token_count,
    )
    document.chunk_count, document.token_count = found.chunks, found.tokens
