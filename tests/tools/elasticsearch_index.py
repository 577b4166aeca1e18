"""An index of its own for each test on an Elasticsearch server."""

from __future__ import annotations

import uuid
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from ragflow.engine.docstore.elastic_index import VERSION
from ragflow.engine.docstore.elastic_server import Server


def with_own_index(url: str) -> str:
    """Return an ELASTICSEARCH_URL that names an index which nobody else uses, and is the same otherwise."""
    parts = urlsplit(url)
    options = dict(parse_qsl(parts.query)) | {"index": f"ragflow-test-{uuid.uuid4().hex}"}
    return urlunsplit(parts._replace(query=urlencode(options)))


def remove_index(url: str) -> None:
    """Remove the index that a URL names, if it was made."""
    server = Server(url)
    server.client.options(ignore_status=404).indices.delete(index=f"{server.index}-{VERSION}")
    server.close()
