"""The document store of this process."""

from __future__ import annotations

from django.conf import settings

from apps.core.once import once
from ragflow.engine.docstore.base import DocStore


@once
def doc_store() -> DocStore:
    """Return the store that holds chunks and vectors: Elasticsearch where it is configured, else the embedded file."""
    if settings.ELASTICSEARCH_URL:
        from ragflow.engine.docstore.elastic import ElasticDocStore

        return ElasticDocStore(settings.ELASTICSEARCH_URL)
    from ragflow.engine.docstore.embedded import EmbeddedDocStore

    return EmbeddedDocStore(settings.INDEX_FILE)
