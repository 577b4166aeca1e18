"""The document store of this process."""

from __future__ import annotations

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from apps.core.once import once
from ragflow.engine.docstore.base import DocStore


@once
def doc_store() -> DocStore:
    """Return the store that holds chunks and vectors: Elasticsearch where it is configured, else the embedded file."""
    if not settings.ELASTICSEARCH_URL:
        from ragflow.engine.docstore.embedded import EmbeddedDocStore

        return EmbeddedDocStore(settings.INDEX_FILE)
    try:
        from ragflow.engine.docstore.elastic import ElasticDocStore  # type: ignore[import-not-found]
    except ImportError as error:
        raise ImproperlyConfigured(
            "ELASTICSEARCH_URL is set, but this installation cannot talk to Elasticsearch. Leave it empty to use the "
            "embedded index."
        ) from error
    store: DocStore = ElasticDocStore(settings.ELASTICSEARCH_URL)
    return store
