"""Documents of a dataset that a team shares: editors change them, viewers read."""

from __future__ import annotations

import pytest

from apps.accounts.models import Membership, User

Role = Membership.Role


@pytest.fixture
def join(api, new_client):
    """Return a function that makes a member of the dataset's team with this role, and returns the member's client."""

    def make(role, *, pending=False):
        member = new_client()
        user = User.objects.get(pk=member.tenant.pk)
        Membership.objects.create(tenant=api.tenant, user=user, role=role, is_pending=pending)
        return member

    return make


def changes(base, document):
    return [
        ("POST", f"{base}/chunks", {"document_ids": [document]}),
        ("DELETE", f"{base}/chunks", {"document_ids": [document]}),
        ("DELETE", f"{base}/documents", {"ids": [document]}),
    ]


def test_a_viewer_reads_and_changes_nothing(join, api, base, dataset, parsed):
    document, viewer = parsed(), join(Role.VIEWER)
    assert viewer.call("GET", f"{base}/documents")["data"]["total"] == 1
    question = {"dataset_ids": [dataset["id"]], "question": "fox"}
    assert viewer.call("POST", "/api/v1/retrieval", question)["data"]["total"] == 1
    for method, path, body in changes(base, document):
        assert viewer.call(method, path, body)["status"] == 404
    with pytest.raises(AssertionError, match="Can't find the dataset"):
        viewer.upload(dataset["id"], ("b.txt", b"b"))
    (listed,) = api.call("GET", f"{base}/documents")["data"]["docs"]
    assert (listed["run"], listed["chunk_count"]) == ("DONE", 1)


def test_an_editor_changes_what_the_team_shares(join, api, base, dataset):
    editor = join(Role.EDITOR)
    (document,) = editor.upload(dataset["id"], ("b.txt", b"b"))
    for method, path, body in changes(base, document["id"]):
        assert editor.call(method, path, body)["code"] == 0
    assert api.call("GET", f"{base}/documents")["data"]["total"] == 0


def test_an_invited_person_sees_nothing_yet(join, base):
    assert join(Role.EDITOR, pending=True).call("GET", f"{base}/documents")["status"] == 404
