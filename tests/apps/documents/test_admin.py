"""The administration pages of datasets, documents and tasks."""

from __future__ import annotations

import pytest
from django.core.files.storage import default_storage
from django.test import Client
from django.urls import reverse

from apps.accounts.models import User
from apps.datasets.models import KnowledgeBase
from apps.documents.models import Document, IngestTask


@pytest.fixture
def admin(db) -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("root@example.org", "correct horse battery"))
    return client


def listing(model: type, query: str = "") -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist") + query


@pytest.fixture
def failed(api, base, upload, run_tasks):
    (document,) = upload("broken.docx", content=b"not a zip")
    api.call("POST", f"{base}/chunks", {"document_ids": [document]})
    run_tasks()
    return document


@pytest.mark.parametrize("model", [KnowledgeBase, Document, IngestTask])
def test_lists_pages_and_searches(admin, failed, parsed, model):
    parsed()
    for query in ("", "?q=broken"):
        assert admin.get(listing(model, query)).status_code == 200
    for row in model.objects.all():
        page = admin.get(reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_change", args=[row.pk]))
        assert page.status_code == 200
        assert str(row) in page.content.decode()


def test_the_list_says_why_a_document_failed(admin, failed):
    page = admin.get(listing(Document)).content.decode()
    assert "failed" in page
    assert "broken.docx" in page
    sentence = Document.objects.get().progress_message.rpartition("[ERROR] ")[2]
    assert sentence.split(".")[0].split("'")[0][:20] in page


@pytest.mark.parametrize("model", [KnowledgeBase, Document, IngestTask])
def test_the_number_of_queries_does_not_grow(admin, api, run_tasks, model, django_assert_max_num_queries):
    def fill(count):
        for _ in range(count):
            dataset = api.create_dataset()["id"]
            (document,) = api.upload(dataset, ("a.txt", b"x"))
            api.call("POST", f"/api/v1/datasets/{dataset}/chunks", {"document_ids": [document["id"]]})

    fill(1)
    with django_assert_max_num_queries(100) as few:
        admin.get(listing(model))
    count = len(few)
    fill(6)
    with django_assert_max_num_queries(count):
        admin.get(listing(model))


def act(admin, model, action, *ids):
    body = {"action": action, "_selected_action": ids, "post": "yes"}
    return admin.post(listing(model), body, follow=True).content.decode()


def test_parse_and_cancel(admin, failed, parsed):
    done = parsed()
    assert "2 documents queued" in act(admin, Document, "parse", failed, done)
    page = act(admin, Document, "parse", failed)
    assert "currently being processed" in page.replace("&#x27;", "'")
    assert "2 documents cancelled" in act(admin, Document, "cancel", failed, done)
    assert set(Document.objects.values_list("state", flat=True)) == {Document.State.CANCEL}


def test_deleting_documents_goes_all_the_way(admin, dataset, parsed, store, counts):
    ids = [parsed("a.txt"), parsed("b.txt", b"Other words."), parsed("c.txt", b"More words.")]
    locations = list(Document.objects.values_list("location", flat=True))
    act(admin, Document, "delete_selected", *ids[:2])
    admin.post(reverse("admin:documents_document_delete", args=[ids[2]]), {"post": "yes"})
    assert counts() == (0, 0, 0)
    assert store.count(dataset["id"]).chunks == 0
    assert not any(default_storage.exists(location) for location in locations)


def test_deleting_datasets_goes_all_the_way(admin, api, parsed, dataset, store, purge_deleted):
    parsed()
    act(admin, KnowledgeBase, "delete_selected", dataset["id"])
    other = api.create_dataset()["id"]
    admin.post(reverse("admin:datasets_knowledgebase_delete", args=[other]), {"post": "yes"})
    purge_deleted()
    assert store.count(dataset["id"]).chunks == 0
    assert not KnowledgeBase.objects.exists()
    assert not Document.objects.exists()


def test_tasks_are_read_only(admin, parsed):
    parsed()
    task = IngestTask.objects.get()
    assert admin.post(reverse("admin:documents_ingesttask_delete", args=[task.pk]), {"post": "yes"}).status_code == 403
    assert admin.get(reverse("admin:documents_ingesttask_add")).status_code == 403


def test_a_dataset_can_be_edited(admin, dataset):
    path = reverse("admin:datasets_knowledgebase_change", args=[dataset["id"]])
    form = {
        "description": "",
        "permission": "team",
        "language": "English",
        "pagerank": "5",
        "similarity_threshold": "0.2",
        "vector_similarity_weight": "0.3",
    }
    assert admin.post(path, form | {"pagerank": "101"}).status_code == 200
    assert admin.post(path, form).status_code == 302
    row = KnowledgeBase.objects.get()
    assert (row.name, row.permission, row.pagerank) == (dataset["name"], "team", 5)
