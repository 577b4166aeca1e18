"""Every route of datasets, documents and retrieval against callers who have no business there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.urls import URLPattern

from apps.datasets.engine import doc_store
from apps.datasets.models import KnowledgeBase
from apps.datasets.urls import urlpatterns as dataset_routes
from apps.documents.models import Document
from apps.documents.urls import urlpatterns as document_routes
from tests.apps.conftest import API, form

Call = tuple[str, str, Any]

# For each method of each route: requests that name somebody else's objects in path, query or body. `{dataset}` and
# `{document}` are foreign, `{mine}` is a dataset of the caller.
FOREIGN: dict[tuple[str, str], list[Call]] = {
    ("datasets", "get"): [("", "?id={dataset}", None), ("", "?name=foreign", None)],
    ("datasets", "post"): [],  # names nothing that exists
    ("datasets", "delete"): [("", "", {"ids": ["{dataset}"]}), ("", "", {"ids": ["{mine}", "{dataset}"]})],
    ("dataset", "put"): [("{dataset}", "", {"name": "mine now"})],
    ("documents", "get"): [
        ("{dataset}", "", None),
        ("{mine}", "?id={document}", None),
        ("{mine}", "?name=f.txt", None),
    ],
    ("documents", "post"): [("{dataset}", "", form(("file", "a.txt", b"x")))],
    ("documents", "delete"): [
        ("{dataset}", "", None),
        ("{dataset}", "", {"ids": ["{document}"]}),
        ("{mine}", "", {"ids": ["{document}"]}),
    ],
    ("document", "get"): [("{dataset}/{document}", "", None), ("{mine}/{document}", "", None)],
    ("document", "put"): [
        ("{dataset}/{document}", "", {"name": "mine.txt"}),
        ("{mine}/{document}", "", {"enabled": 0}),
    ],
    ("parsing", "post"): [
        ("{dataset}", "", {"document_ids": ["{document}"]}),
        ("{mine}", "", {"document_ids": ["{document}"]}),
    ],
    ("parsing", "delete"): [
        ("{dataset}", "", {"document_ids": ["{document}"]}),
        ("{mine}", "", {"document_ids": ["{document}"]}),
    ],
    ("document-chunks", "get"): [
        ("{dataset}/{document}", "", None),
        ("{mine}/{document}", "", None),
        ("{mine}/{own_document}", "?id={chunk}", None),
    ],
    ("document-chunks", "post"): [
        ("{dataset}/{document}", "", {"content": "mine"}),
        ("{mine}/{document}", "", {"content": "mine"}),
    ],
    ("document-chunks", "delete"): [
        ("{dataset}/{document}", "", None),
        ("{mine}/{document}", "", None),
        ("{mine}/{own_document}", "", {"chunk_ids": ["{chunk}"]}),
    ],
    ("chunk", "put"): [
        ("{dataset}/{document}/{chunk}", "", {"content": "mine"}),
        ("{mine}/{own_document}/{chunk}", "", {"available": 0}),
    ],
    ("metadata-summary", "get"): [("{dataset}", "", None), ("{dataset}", "", {"doc_ids": ["{document}"]})],
    ("metadata-update", "post"): [
        ("{dataset}", "", {"updates": [{"key": "a", "value": 1}]}),
        ("{mine}", "", {"selector": {"document_ids": ["{document}"]}, "updates": [{"key": "a", "value": 1}]}),
    ],
    ("dify-retrieval", "post"): [("", "", {"knowledge_id": "{dataset}", "query": "fox"})],
    ("retrieval", "post"): [
        ("", "", {"dataset_ids": ["{dataset}"], "question": "fox"}),
        ("", "", {"dataset_ids": ["{mine}", "{dataset}"], "question": "fox"}),
        ("", "", {"dataset_ids": ["{mine}"], "document_ids": ["{document}"], "question": "fox"}),
    ],
}


def routes() -> Iterator[tuple[str, str, URLPattern]]:
    for pattern in (*dataset_routes, *document_routes):
        if pattern.name.startswith(("file-", "web-")):
            continue  # see test_files_isolation and test_web_access
        for method in pattern.callback.actions:
            if method != "head":  # DRF's own twin of "get"
                yield pattern.name, method, pattern


def path_of(pattern: URLPattern, ids: str) -> str:
    names = iter(ids.split("/"))
    return "/" + "/".join(next(names) if part.startswith("<") else part for part in str(pattern.pattern).split("/"))


def filled_in(value: Any, names: dict[str, str]) -> Any:
    if isinstance(value, str):
        return value.format(**names)
    if isinstance(value, list):
        return [filled_in(item, names) for item in value]
    if isinstance(value, dict):
        return {key: filled_in(item, names) for key, item in value.items()}
    return value


def send(client: API, method: str, path: str, body: Any) -> dict[str, Any]:
    if isinstance(body, bytes):
        return client.send_form(path.split("/")[4], body)
    return client.call(method.upper(), path, body)


def test_no_route_is_missing_here():
    assert {(name, method) for name, method, _ in routes()} == set(FOREIGN)


@pytest.mark.parametrize("token", [None, "", "None", "ragflow-unknown"])
@pytest.mark.parametrize(
    ("name", "method", "pattern"),
    [route for route in routes() if route[0] != "dify-retrieval"],  # has answers of its own: see test_dify
    ids=lambda value: getattr(value, "name", value),
)
def test_strangers(db, profile, token, name, method, pattern):
    client = API(token)
    answer = send(client, method, path_of(pattern, "x/y/z"), form() if (name, method) == ("documents", "post") else {})
    if token is None:
        expected = (401, 401) if profile == "standard" else (0, 200)
        assert answer["message"] == "`Authorization` can't be empty"
    elif token == "":
        expected = (401, 401) if profile == "standard" else (0, 200)
    else:
        expected = (109, 401 if profile == "standard" else 200)
        assert answer["message"] == "Authentication error: API key is invalid!"
    assert (answer["code"], answer["status"]) == expected
    assert answer["data"] is False


@pytest.mark.parametrize(
    ("name", "method", "call"),
    [(name, method, call) for (name, method), calls in FOREIGN.items() for call in calls],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_other_tenants(api, other, run_tasks, profile, name, method, call):
    theirs = other.create_dataset("foreign")["id"]
    (document,) = (row["id"] for row in other.upload(theirs, ("f.txt", b"The secret fox.")))
    other.call("POST", f"/api/v1/datasets/{theirs}/chunks", {"document_ids": [document]})
    run_tasks()
    chunk = other.call("GET", f"/api/v1/datasets/{theirs}/documents/{document}/chunks")["data"]["chunks"][0]["id"]
    mine = api.create_dataset("own")["id"]
    (own_document,) = (row["id"] for row in api.upload(mine, ("g.txt", b"x")))
    names = {"dataset": theirs, "document": document, "mine": mine, "own_document": own_document, "chunk": chunk}
    before = snapshot()
    ids, query, body = (filled_in(part, names) for part in call)
    pattern = next(pattern for route, _, pattern in routes() if route == name)
    answer = send(api, method, path_of(pattern, ids) + query, body)
    assert answer["code"] != 0
    assert answer["status"] in ((403, 404) if profile == "standard" or name == "dify-retrieval" else (200,))
    assert "data" not in answer or answer["data"] is None
    assert "secret" not in str(answer)
    assert snapshot() == before


def snapshot() -> list[Any]:
    documents = list(Document.objects.values())
    places = [(row["dataset_id"], row["id"]) for row in documents]
    chunks = [doc_store().list_chunks(*place, offset=0, limit=9) for place in places]
    return [list(KnowledgeBase.objects.values()), documents, chunks]
