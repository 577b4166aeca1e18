"""The Elasticsearch store: conformance on a real server, and its failures against a scripted one."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator

import pytest

from ragflow.engine.docstore.elastic import ElasticDocStore
from ragflow.engine.docstore.elastic_index import VERSION
from tests.unit.docstore.conformance import DocStoreConformance

SERVER = os.environ.get("ELASTICSEARCH_URL", "")
needs_server = pytest.mark.skipif(not SERVER, reason="needs a server: ELASTICSEARCH_URL is not set")


@pytest.fixture
def store() -> Iterator[ElasticDocStore]:
    index = f"ragflow-test-{uuid.uuid4().hex}"
    store = ElasticDocStore(f"{SERVER}?index={index}")
    yield store
    store._server.client.indices.delete(index=f"{index}-{VERSION}")
    store.close()


@needs_server
class TestConformance(DocStoreConformance):
    pass
