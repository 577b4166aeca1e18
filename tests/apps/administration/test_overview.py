"""What the administration pages begin with: the state of the installation."""

from __future__ import annotations

import re
from html import unescape
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.accounts.models import User
from apps.accounts.services import create_account
from apps.documents.models import Document, IngestTask, Reembedding
from ragflow import health
from ragflow.models import Worker
from tests.apps.conftest import API

pytestmark = pytest.mark.django_db


def rows(client: Client) -> dict[str, str]:
    """Return what the overview says, without its tags."""
    page = unescape(client.get("/admin/").content.decode()).partition("</section>")[0]
    found = re.findall(r'<th scope="row">(.*?)</th>(.*?)</tr>', page, re.DOTALL)
    return {name: " ".join(re.sub("<.*?>", "", shown).split()) for name, shown in found}


@pytest.fixture
def operator() -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("root@example.org", "correct horse battery"))
    return client


@pytest.fixture
def documents(api: API) -> list[Document]:
    """Three documents: one done, one failed, one that waits."""
    uploaded = api.upload(api.create_dataset()["id"], *((f"{name}.txt", b"A fox.") for name in "abc"))
    made = list(Document.objects.filter(pk__in=[document["id"] for document in uploaded]).order_by("name"))
    for document, state in zip(made, Document.State.DONE + Document.State.FAIL + Document.State.RUNNING, strict=True):
        document.state = state
        document.save()
    IngestTask.objects.create(document=made[2])
    return made


def test_it_counts_what_is_there_and_links_to_it(operator: Client, documents: list[Document]) -> None:
    found = rows(operator)
    assert found["Documents"] == "1 running, 1 done, 1 failed"
    assert found["Tasks"].startswith("1 pending, waiting for 0")
    assert found["Content"] == "1 dataset, 0 chunks"
    page = operator.get("/admin/").content.decode()
    assert '<a href="/admin/documents/document/?state__exact=4">1 failed</a>' in page


def test_re_embeddings_are_named_while_they_go_on(operator: Client, documents: list[Document]) -> None:
    assert "Re-embeddings" not in rows(operator)
    Reembedding.objects.create(dataset=documents[0].dataset, embedding_model="m", old_space=0, space=1)
    assert rows(operator)["Re-embeddings"] == "1 pending"


def test_it_says_what_does_not_work(operator: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def away() -> None:
        raise ConnectionError

    monkeypatch.setitem(health.CHECKS, "doc_engine", away)
    found = rows(operator)
    assert found["Search index"] == "✗ error: doc_engine does not answer; see the server's log."
    assert found["Database"].startswith("✓")
    assert found["Workers"] == "✗ none has been seen within a minute, so nothing is parsed"


def test_a_worker_that_lives_is_counted(operator: Client) -> None:
    Worker.objects.create(name="celery@here/1", threads=2, started_at=timezone.now(), seen_at=timezone.now())
    assert rows(operator)["Workers"] == "✓ 1, for 2 documents at a time"


@pytest.mark.parametrize(("right", "sees"), [("view_document", True), ("view_user", False)])
def test_operators_who_may_not_see_documents_do_not_see_their_number(right: str, sees: bool) -> None:
    user = create_account(email="staff@example.org", is_operator=True)
    user.is_superuser = False
    user.save()
    user.user_permissions.set(Permission.objects.filter(codename=right))
    client = Client()
    client.force_login(user)
    assert bool(rows(client)) is sees


def test_more_documents_take_no_more_queries(operator: Client, api: API, documents: list[Document]) -> None:
    def queries() -> Any:
        with CaptureQueriesContext(connection) as captured:
            operator.get("/admin/")
        return len(captured)

    before = queries()
    api.upload(api.create_dataset("more")["id"], *((f"{name}.txt", b"Another.") for name in "defg"))
    assert queries() == before
