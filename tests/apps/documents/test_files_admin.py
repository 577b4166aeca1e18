"""The administration pages of the file manager."""

from __future__ import annotations

import pytest
from django.core.files.storage import default_storage
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from apps.documents.models import Document, File
from ragflow.engine.errors import StoreUnavailable
from tests.apps.documents.files import Files
from tests.apps.documents.test_admin import admin, listing  # noqa: F401 -- a fixture


@pytest.fixture
def files(api):
    return Files(api)


def test_lists_pages_and_searches(admin, api, other, files):  # noqa: F811
    inner = files.put("folder/report.txt")
    Files(other).put("other.txt")
    assert "report.txt" in admin.get(listing(File, "?q=REPORT")).content.decode()
    page = admin.get(listing(File, f"?tenant__id__exact={api.tenant.pk}")).content.decode()
    assert "report.txt" in page
    assert "other.txt" not in page
    assert "report.txt" in admin.get(reverse("admin:documents_file_change", args=[inner])).content.decode()


def test_the_number_of_queries_does_not_grow(admin, files, dataset, django_assert_max_num_queries):  # noqa: F811
    files.convert([files.put(f"{number}/a.txt") for number in range(2)], [dataset["id"]])
    with django_assert_max_num_queries(14):
        admin.get(listing(File))
    files.convert([files.put(f"{number}/b.txt") for number in range(20)], [dataset["id"]])
    with django_assert_max_num_queries(14):
        admin.get(listing(File))


def test_deleting_goes_the_way_of_the_api(admin, api, files, dataset):  # noqa: F811
    inner = files.put("folder/a.txt")
    files.convert([inner], [dataset["id"]])
    kept = files.put("kept.txt")
    folder = files.get(f"parent_folder?file_id={inner}")["data"]["parent_folder"]["id"]
    chosen = {"action": "delete_selected", "_selected_action": [folder, inner, files.root()], "post": "yes"}
    page = admin.post(listing(File), chosen, follow=True)
    assert "The root folder cannot be changed." in page.content.decode()
    assert files.names() == ["kept.txt"]
    assert not Document.objects.exists()
    assert default_storage.listdir(f"files/{api.tenant.pk}")[1] == [kept]


def test_deleting_while_the_index_is_away(admin, files, dataset, store, monkeypatch):  # noqa: F811
    entry = files.put("a.txt")
    files.convert([entry], [dataset["id"]])
    files.put("b.txt")

    def fail(*_: object, **__: object) -> None:
        raise StoreUnavailable("The index is away.")

    monkeypatch.setattr(store, "delete_document", fail)
    chosen = {"action": "delete_selected", "_selected_action": [file["id"] for file in files.list()], "post": "yes"}
    page = admin.post(listing(File), chosen, follow=True).content.decode()
    assert "A.txt: chunks of documents made from it are left" in page
    assert "The index is away." in page
    assert files.names() == []


def test_documents_are_counted_for_the_page_alone(admin, files, dataset):  # noqa: F811
    files.convert([files.put("a.txt")], [dataset["id"]])
    with CaptureQueriesContext(connection) as queries:
        assert '<td class="field-documents">1</td>' in admin.get(listing(File)).content.decode()
    assert not [query["sql"] for query in queries if 'JOIN "documents_filelink"' in query["sql"]]
