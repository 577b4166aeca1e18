"""GET /documents/{id}: the bytes as they were sent, and never as something a browser would run."""

from __future__ import annotations

import uuid

import pytest
from django.core.files.storage import default_storage

from apps.accounts.models import Membership
from apps.documents.models import Document


@pytest.mark.parametrize(
    ("name", "disposition"),
    [
        ("a b.txt", 'attachment; filename="a b.txt"'),
        ('quo"te.txt', 'attachment; filename="quo\\"te.txt"'),
        ("你好.txt", "attachment; filename*=utf-8''%E4%BD%A0%E5%A5%BD.txt"),
        ("line\nbreak.txt", "attachment; filename*=utf-8''line%0Abreak.txt"),
        ("page.html", 'attachment; filename="page.html"'),
    ],
)
def test_the_bytes_and_headers(api, dataset, base, profile, name, disposition):
    content = bytes(range(256)) * 1000
    (document,) = api.upload(dataset["id"], (name, content))
    for _ in range(2):
        response = api.get(f"{base}/documents/{document['id']}")
        assert response.status_code == 200
        assert b"".join(response.streaming_content) == content
        assert response["Content-Type"] == "application/octet-stream"
        assert response["Content-Disposition"] == disposition
        assert response["Content-Length"] == str(len(content))
        assert response["X-Content-Type-Options"] == "nosniff"


def test_errors_have_exactly_two_keys(api, other, base, upload, profile):
    foreign = other.create_dataset()["id"]
    (mine,) = upload("a.txt")
    (theirs,) = (document["id"] for document in other.upload(foreign, ("a.txt", b"x")))
    unknown = uuid.uuid1().hex
    status = 404 if profile == "standard" else 200
    for path, message in {
        f"{base}/documents/{unknown}": f"The dataset not own the document {unknown}.",
        f"{base}/documents/{theirs}": f"The dataset not own the document {theirs}.",
        f"{base}/documents/nonsense": "The dataset not own the document nonsense.",
        f"/api/v1/datasets/{foreign}/documents/{theirs}": f"You do not own the dataset {foreign}.",
        f"/api/v1/datasets/{unknown}/documents/{mine}": f"You do not own the dataset {unknown}.",
    }.items():
        assert api.call("GET", path) == {"code": 102, "message": message, "status": status}


def test_team_members_do_not_download(api, other):
    dataset = other.create_dataset(permission="team")
    (document,) = other.upload(dataset["id"], ("a.txt", b"x"))
    Membership.objects.create(tenant=other.tenant, user_id=api.tenant.pk)
    answer = api.call("GET", f"/api/v1/datasets/{dataset['id']}/documents/{document['id']}")
    assert answer["message"] == f"You do not own the dataset {dataset['id']}."


def test_an_empty_or_missing_file(api, base, upload):
    (empty,) = upload("empty.txt", content=b"")
    (missing,) = upload("missing.txt")
    default_storage.delete(Document.objects.get(pk=missing).location)
    for id_ in (empty, missing):
        answer = api.call("GET", f"{base}/documents/{id_}")
        assert (answer["code"], answer["message"]) == (102, "This file is empty.")
