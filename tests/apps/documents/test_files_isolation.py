"""Every route of the file manager against callers who have no business there."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage

from apps.documents.models import Document, File, FileLink
from apps.documents.urls import urlpatterns
from tests.apps.conftest import API, form
from tests.apps.documents.files import FILE, Files

# For each route: requests that name somebody else's objects. `{file}`, `{folder}`, `{dataset}`, `{document}` and
# `{attachment}` are foreign, `{mine}`, `{own_folder}` and `{own_dataset}` are the caller's.
FOREIGN: dict[str, list[tuple[str, Any]]] = {
    "file-upload": [("", form(("parent_id", None, b"%s"), ("file", "a.txt", b"x")))],
    "file-create": [("", {"name": "x", "parent_id": "{folder}"}), ("", {"name": "x", "parent_id": "{dataset}"})],
    "file-list": [("?parent_id={folder}", None), ("?parent_id={dataset}", None), ("?parent_id={mirror}", None)],
    "file-root": [],  # names nothing
    "file-parent": [("?file_id={file}", None), ("?file_id={document}", None)],
    "file-ancestors": [("?file_id={file}", None), ("?file_id={folder}", None), ("?file_id={dataset}", None)],
    "file-rm": [("", {"file_ids": ["{file}"]}), ("", {"file_ids": ["{folder}"]}), ("", {"file_ids": ["{document}"]})],
    "file-rename": [("", {"file_id": "{file}", "name": "a.txt"}), ("", {"file_id": "{document}", "name": "a.txt"})],
    "file-mv": [
        ("", {"src_file_ids": ["{mine}"], "dest_file_id": "{folder}"}),
        ("", {"src_file_ids": ["{mine}", "{file}"], "dest_file_id": "{own_folder}"}),
        ("", {"src_file_ids": ["{document}"], "dest_file_id": "{own_folder}"}),
    ],
    "file-convert": [
        ("", {"file_ids": ["{file}"], "kb_ids": ["{own_dataset}"]}),
        ("", {"file_ids": ["{mine}"], "kb_ids": ["{own_dataset}", "{dataset}"]}),
        ("", {"file_ids": ["{document}"], "kb_ids": ["{own_dataset}"]}),
    ],
    "file-get": [("/{file}", None), ("/{document}", None), ("/{folder}", None)],
    "file-attachment": [("/{attachment}", None)],
}
ROUTES = {
    pattern.name: (method.upper(), str(pattern.pattern).split("<")[0].rstrip("/"))
    for pattern in urlpatterns
    if str(pattern.pattern).startswith(FILE[1:])
    for method in pattern.callback.actions
    if method != "head"
}


def test_no_route_is_missing_here():
    assert set(ROUTES) == set(FOREIGN)


def send(client: API, route: str, rest: str, body: Any) -> dict[str, Any]:
    method, path = ROUTES[route]
    if isinstance(body, bytes):
        return Files(client).send(body)
    return client.call(method, f"/{path}{rest}", body)


@pytest.mark.parametrize("token", [None, "ragflow-unknown"])
@pytest.mark.parametrize("route", FOREIGN)
def test_strangers(db, profile, token, route):
    answer = send(API(token), route, "/x" if route in ("file-get", "file-attachment") else "", {})
    if token is None:
        assert (answer["code"], answer["message"]) == (
            401 if profile == "standard" else 0,
            "`Authorization` can't be empty",
        )
    else:
        assert (answer["code"], answer["message"]) == (109, "Authentication error: API key is invalid!")
    assert answer["data"] is False
    assert not File.objects.exists()


@pytest.mark.parametrize(
    ("route", "rest", "body"),
    [(route, rest, body) for route, calls in FOREIGN.items() for rest, body in calls],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_other_tenants(api, other, profile, route, rest, body):
    theirs, mine = Files(other), Files(api)
    dataset = other.create_dataset("foreign")["id"]
    attachment = uuid.uuid1().hex
    default_storage.save(f"attachments/{other.tenant.pk}/{attachment}", ContentFile(b"secret"))
    (file,) = theirs.upload(("secrets/f.txt", b"secret"))
    names = {
        "file": file["id"],
        "folder": file["parent_id"],
        "mirror": theirs.mirror(),
        "dataset": dataset,
        "document": other.upload(dataset, ("f.txt", b"secret"))[0]["id"],
        "attachment": attachment,
        "mine": mine.put("own.txt"),
        "own_folder": mine.folder("own"),
        "own_dataset": api.create_dataset("own")["id"],
    }
    before = snapshot()
    if isinstance(body, bytes):
        body = body.replace(b"%s", names["folder"].encode())
    answer = send(api, route, rest.format(**names), filled_in(body, names))
    assert answer["code"] in ((400, 404) if profile == "standard" else (400, 404, 100)), answer
    assert not answer["data"]
    assert "secret" not in str(answer)
    assert snapshot() == before


def filled_in(value: Any, names: dict[str, str]) -> Any:
    if isinstance(value, str):
        return value.format(**names)
    if isinstance(value, list):
        return [filled_in(item, names) for item in value]
    if isinstance(value, dict):
        return {key: filled_in(item, names) for key, item in value.items()}
    return value


def snapshot() -> list[Any]:
    return [list(model.objects.order_by("pk").values()) for model in (File, FileLink, Document)]
