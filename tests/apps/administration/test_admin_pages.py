"""The pages in which operators work: what they show, what they ask before, and who may do what."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import pytest
from django.contrib.admin import ModelAdmin
from django.contrib.auth.models import Permission
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from apps.accounts import services, throttles
from apps.accounts.models import APIToken, AuditEntry, Membership, ShareToken, Tenant, TenantModel, User
from apps.accounts.services.tokens import create_share_token
from apps.administration import selectors
from apps.administration.admin import ChangeUserForm
from apps.chats.models import Assistant, SearchApp, Session
from apps.core.crypto import decrypt, encrypt
from apps.datasets.models import KnowledgeBase
from apps.documents.models import Document, File, IngestTask, Reembedding
from tests.apps.conftest import API
from tests.apps.documents.files import Files

pytestmark = pytest.mark.django_db

LISTS = [
    *(User, Tenant, Membership, APIToken, ShareToken, TenantModel, AuditEntry, KnowledgeBase, Document, IngestTask),
    *(Reembedding, File, Assistant, Session, SearchApp),
]

NO_MEMBERS = {"memberships-TOTAL_FORMS": "0", "memberships-INITIAL_FORMS": "0"}


def path_of(model: type, page: str = "changelist", *ids: str) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}", args=ids)


def meanwhile(monkeypatch: pytest.MonkeyPatch, act: Callable[[], Any]) -> None:
    """Have something done between the moment at which a page reads its row and the one at which it writes it."""
    read = ModelAdmin.get_object

    def read_and_act(*args: Any, **kwargs: Any) -> Any:
        found = read(*args, **kwargs)
        act()
        return found

    monkeypatch.setattr(ModelAdmin, "get_object", read_and_act)


class Browser(Client):
    """An operator's browser."""

    def __init__(self, user: User) -> None:
        super().__init__()
        self.user = user
        self.force_login(user)

    def text(self, path: str, query: str = "") -> str:
        answer = self.get(path + query)
        assert answer.status_code == 200
        return re.sub(r"[ \n]+", " ", answer.content.decode())

    def act(self, model: type, action: str, *ids: str, **fields: str) -> str:
        """Choose an action for rows of a list, and return the page that comes of it."""
        body = {"action": action, "_selected_action": ids, **fields}
        return self.post(path_of(model), body, follow=True).content.decode()


@pytest.fixture
def browser(db: None) -> Browser:
    return Browser(User.objects.create_superuser("root@example.org", "correct horse battery"))


@pytest.fixture
def staff(db: None) -> Callable[..., Browser]:
    """Return a function that makes an operator with these rights only."""

    def make(*rights: str) -> Browser:
        user = services.create_account(email="staff@example.org")
        user.is_staff = True
        user.save()
        user.user_permissions.set(Permission.objects.filter(codename__in=rights))
        return Browser(user)

    return make


@pytest.fixture
def parse(run_tasks: Callable[[], int]) -> Callable[..., str]:
    """Return a function that uploads a file, has it parsed and returns its id."""

    def run(api: API, dataset_id: str, name: str = "fox.txt", content: bytes = b"The quick brown fox.") -> str:
        (document,) = api.upload(dataset_id, (name, content))
        api.call("POST", f"/api/v1/datasets/{dataset_id}/chunks", {"document_ids": [document["id"]]})
        run_tasks()
        return str(document["id"])

    return run


@pytest.fixture
def failed(api: API, parse) -> Document:
    return Document.objects.get(pk=parse(api, api.create_dataset("broken")["id"], "broken.docx", b"not a zip"))


def add_chunk(api: API, document: Document) -> None:
    path = f"/api/v1/datasets/{document.dataset_id}/documents/{document.pk}/chunks"
    assert api.call("POST", path, {"content": "By hand."})["code"] == 0


def usage_of(tenant: Tenant) -> Any:
    return selectors.with_usage(Tenant.objects.filter(pk=tenant.pk)).get()


class TestUsage:
    def test_everything_is_counted_once(self, api: API, other: API, parse, tenant):
        parse(other, other.create_dataset()["id"], content=b"Not to be counted.")
        for name in ("one", "two"):
            dataset = api.create_dataset(name)["id"]
            parse(api, dataset, "a.txt", b"1234567890")
            parse(api, dataset, "b.txt", b"12345")
        member = services.create_account(email="member@example.org")
        Membership.objects.create(tenant=tenant, user=member)
        invited = services.create_account(email="invited@example.org")
        Membership.objects.create(tenant=tenant, user=invited, is_pending=True)
        for name, used in (("a", 5), ("b", 7)):
            TenantModel.objects.create(tenant=tenant, provider="OpenAI", name=name, type="chat", used_tokens=used)
        found = usage_of(tenant)
        assert (found.datasets_total, found.documents_total, found.chunks_total) == (2, 4, 4)
        assert (found.stored_bytes, found.used_tokens) == (30, 12)
        assert (found.members_total, found.tokens_total) == (2, 1)
        assert found.indexed_tokens == sum(
            KnowledgeBase.objects.filter(tenant=tenant).values_list("token_count", flat=True)
        )

    def test_bytes_that_documents_borrow_from_files_count_once(self, api: API, tenant):
        files = Files(api)
        file = files.put("report.txt")
        before = usage_of(tenant).stored_bytes
        files.convert([file], [api.create_dataset()["id"]])
        assert before > 0
        assert (usage_of(tenant).stored_bytes, usage_of(tenant).documents_total) == (before, 1)

    def test_deleted_things_do_not_count(self, api: API, parse, tenant):
        dataset = api.create_dataset()["id"]
        parse(api, dataset)
        KnowledgeBase.objects.update(deleted_at="2026-01-01T00:00Z")
        found = usage_of(tenant)
        assert (found.datasets_total, found.documents_total, found.stored_bytes) == (0, 0, 0)

    def test_a_tenants_page_leads_to_what_is_the_tenants(self, browser, api: API, other: API, parse, tenant):
        parse(api, api.create_dataset("mine")["id"], "mine.txt")
        parse(other, other.create_dataset("foreign")["id"], "foreign.txt")
        page = browser.text(path_of(Tenant, "change", tenant.pk))
        links = {
            link.replace("&amp;", "&") for link in re.findall(r'href="(/admin/[^"]*tenant__id__exact=[^"]*)"', page)
        }
        assert len(links) == 5
        for link in links:
            assert "foreign" not in browser.text(link)
        (documents,) = (link for link in links if "/document/" in link)
        assert "mine.txt" in browser.text(documents)


class TestLists:
    @pytest.mark.parametrize("model", LISTS)
    def test_the_number_of_queries_does_not_grow(self, browser, new_client, parse, model):
        def fill() -> None:
            api = new_client()
            assert api.tenant is not None
            parse(api, api.create_dataset()["id"])
            Membership.objects.create(tenant=api.tenant, user=browser.user, invited_by=browser.user)
            TenantModel.objects.create(tenant=api.tenant, provider="OpenAI", name="m", type="chat")
            create_share_token(tenant=api.tenant)
            assistant = Assistant.objects.create(tenant=api.tenant, name="chat", chat_model="m")
            Session.objects.create(assistant=assistant)
            SearchApp.objects.create(tenant=api.tenant, name="search")
            Files(api).put("a.txt")
            Reembedding.objects.create(dataset=api.tenant.datasets.get(), embedding_model="m", old_space=0, space=1)
            APIToken.objects.filter(tenant=api.tenant).update(name="named")

        def queries() -> int:
            with CaptureQueriesContext(connection) as captured:
                browser.text(path_of(model))
            return len(captured)

        fill()
        queries()
        few = queries()
        for _ in range(4):
            fill()
        assert queries() == few
        assert few <= 12

    @pytest.mark.parametrize("model", [APIToken, Membership, KnowledgeBase, Assistant, SearchApp, File])
    def test_a_list_names_the_tenant_that_was_chosen_and_offers_no_others(self, browser, api, other, model):
        """An installation may have thousands of them."""
        title = "By tenant"
        assert title not in browser.text(path_of(model))
        page = browser.text(path_of(model), f"?tenant__id__exact={api.tenant.pk}")
        (filters,) = re.findall(r"<summary> By tenant </summary>.*?</ul>", page)
        assert re.findall(r"<a[^>]*>([^<]*)</a>", filters) == ["All", str(api.tenant)]

    def test_deleted_assistants_can_be_left_out(self, browser, tenant):
        Assistant.objects.create(tenant=tenant, name="used daily", chat_model="m")
        Assistant.objects.create(tenant=tenant, name="long gone", chat_model="m", deleted_at="2026-01-01T00:00Z")
        for query, shown in (("", {"used daily", "long gone"}), ("live", {"used daily"}), ("deleted", {"long gone"})):
            page = browser.text(path_of(Assistant), f"?state={query}" if query else "")
            assert {name for name in ("used daily", "long gone") if name in page} == shown

    def test_a_tenant_is_known_by_its_owner(self, browser, api: API, other: API, tenant):
        owner = User.objects.get(pk=tenant.pk)
        assert f'<span class="quiet">{owner.email}</span>' in browser.text(path_of(Tenant))
        page = browser.text(path_of(Tenant, "change", tenant.pk))
        assert f'<a href="{path_of(User, "change", owner.pk)}">{owner.email}</a>' in page

    def test_options_metadata_and_details_are_lines_of_words(self, browser, api: API, parse, tenant):
        document = Document.objects.get(pk=parse(api, api.create_dataset()["id"]))
        KnowledgeBase.objects.update(parser_config={"raptor": {"use_raptor": False}})
        Document.objects.update(meta_fields={"author": "<b>", "years": [2024, 2025]})
        page = browser.text(path_of(Document, "change", document.pk))
        assert "author: &lt;b&gt;<br>" in page
        assert "years: 2024, 2025<br>" in page  # PostgreSQL orders keys by their length
        assert "raptor.use_raptor: no<br>" in browser.text(path_of(KnowledgeBase, "change", document.dataset_id))
        browser.post(path_of(Tenant, "change", tenant.pk), {"name": "Renamed", **NO_MEMBERS})
        entry = AuditEntry.objects.filter(object_kind="tenant").latest("id")
        assert "changes: changed: {'fields': ['Name']}" not in browser.text(
            path_of(AuditEntry, "change", str(entry.pk))
        )
        assert "changes: changed: fields: Name<br>" in browser.text(path_of(AuditEntry, "change", str(entry.pk)))

    def test_progress_of_datasets(self, browser, api: API, parse, failed):
        dataset = failed.dataset_id
        parse(api, dataset, "good.txt")
        (waiting,) = api.upload(dataset, ("wait.txt", b"x"))
        api.call("POST", f"/api/v1/datasets/{dataset}/chunks", {"document_ids": [waiting["id"]]})
        found: Any = selectors.with_progress(KnowledgeBase.objects.filter(pk=dataset)).get()
        assert (found.done_total, found.running_total, found.failed_total) == (1, 1, 1)
        page = browser.text(path_of(KnowledgeBase))
        assert '<progress value="1" max="3">' in page
        (link,) = re.findall(r'href="([^"]*)">1 failed<', page)
        assert "broken.docx" in browser.text(link.replace("&amp;", "&"))
        assert "good.txt" not in browser.text(link.replace("&amp;", "&"))

    def test_sizes_numbers_and_times_are_for_people(self, browser, api: API, parse):
        dataset = api.create_dataset()["id"]
        parse(api, dataset, content=b"x" * 3 * 1024)
        KnowledgeBase.objects.update(chunk_count=1234567)
        page = browser.text(path_of(KnowledgeBase))
        assert "3.0\xa0KB" in page
        assert "1\u202f234\u202f567" in page
        assert re.search(r"\d{4}-\d\d-\d\d \d\d:\d\d<", page)

    def test_the_audit_log_names_tenants(self, browser, api: API, tenant):
        api.create_dataset()
        assert tenant.name.replace("'", "&#x27;") in browser.text(path_of(AuditEntry))

    def test_no_key_and_no_secret_is_shown(self, browser, tenant):
        row = TenantModel.objects.create(
            tenant=tenant, provider="OpenAI", name="m", type="chat", encrypted_key=encrypt("planted-key")
        )
        issued = services.create_token(tenant=tenant, created_by=browser.user, name="t")
        for page in (
            path_of(TenantModel),
            path_of(TenantModel, "change", row.pk),
            path_of(APIToken),
            path_of(APIToken, "change", issued.token.pk),
        ):
            shown = browser.text(page)
            assert "planted-key" not in shown
            assert row.encrypted_key not in shown
            assert issued.secret not in shown


class TestActions:
    def test_verify_finds_what_differs(self, browser, api: API, parse):
        good, bad = (api.create_dataset(name)["id"] for name in ("good", "bad"))
        parse(api, good)
        document = parse(api, bad, "counted.txt")
        page = browser.act(KnowledgeBase, "verify", good, bad)
        assert "2 datasets in order" in page
        Document.objects.filter(pk=document).update(chunk_count=7)
        page = browser.act(KnowledgeBase, "verify", good, bad)
        assert "1 dataset in order, 1 not" in page
        assert re.search("counted.txt.*: 7 chunks with .*, but there are 1 chunks with", page)
        assert re.search("bad.*: 1 documents, 1 chunks, .* but there are 1 documents, 7 chunks", page)

    def test_retry_queues_what_failed(self, browser, api: API, parse, failed):
        parse(api, failed.dataset_id, "good.txt")
        assert "1 document queued, 0 refused." in browser.act(KnowledgeBase, "retry", failed.dataset_id)
        assert Document.objects.get(name="good.txt").state == Document.State.DONE
        failed.refresh_from_db()
        assert failed.state == Document.State.RUNNING
        entry = AuditEntry.objects.filter(action="parse").first()
        assert (entry.object_id, entry.actor_name) == (failed.pk, "root@example.org")

    def test_chunks_added_by_hand_are_not_lost_unasked(self, browser, api: API, failed, store):
        add_chunk(api, failed)
        for model, action, row in ((KnowledgeBase, "retry", failed.dataset_id), (Document, "parse", failed.pk)):
            assert "1 chunk of" in browser.act(model, action, row)
            assert store.count(failed.dataset_id).chunks == 1
        assert "1 document queued" in browser.act(KnowledgeBase, "retry", failed.dataset_id, post="yes")
        assert store.count(failed.dataset_id).chunks == 0

    def test_cancelling_asks_first(self, browser, api: API):
        dataset = api.create_dataset()["id"]
        (document,) = api.upload(dataset, ("a.txt", b"x"))
        browser.act(Document, "parse", document["id"])
        assert "Cancel parsing?" in browser.act(Document, "cancel", document["id"])
        assert Document.objects.get().state == Document.State.RUNNING
        assert "1 document cancelled." in browser.act(Document, "cancel", document["id"], post="yes")
        assert Document.objects.get().state == Document.State.CANCEL

    def test_a_choice_of_all_pages_is_confirmed_as_a_whole(self, browser, api: API, tenant):
        for number in range(130):
            services.create_token(tenant=tenant, created_by=browser.user, name=f"number {number}")
        (first, *_) = APIToken.objects.values_list("pk", flat=True)
        asked = browser.act(APIToken, "revoke", first, select_across="1")
        assert "and 111 more" in asked  # with the client's own
        assert asked.count('name="_selected_action"') == 1
        assert not APIToken.objects.exclude(revoked_at=None).exists()
        sent = {name: re.search(f'name="{name}" value="([^"]*)"', asked)[1] for name in ("select_across", "post")}
        assert "131 tokens revoked." in browser.act(APIToken, "revoke", first, **sent)
        assert AuditEntry.objects.filter(action="revoke", object_kind="token").count() == 131

    def test_changes_and_deletions_are_in_the_audit_log(self, browser, api: API, tenant):
        dataset = api.create_dataset()["id"]
        app = SearchApp.objects.create(tenant=tenant, name="shop")
        form = {"permission": "team", "language": "English", "pagerank": 1, "similarity_threshold": 0.2}
        browser.post(path_of(KnowledgeBase, "change", dataset), form | {"vector_similarity_weight": 0.3})
        browser.post(path_of(KnowledgeBase, "delete", dataset), {"post": "yes"})
        browser.post(path_of(SearchApp, "delete", app.pk), {"post": "yes"})
        noted = AuditEntry.objects.filter(actor_name="root@example.org").exclude(action="create")
        assert list(noted.order_by("id").values_list("action", "object_kind", "tenant_id")) == [
            ("update", "dataset", tenant.pk),
            ("delete", "dataset", tenant.pk),
            ("delete", "search app", tenant.pk),
        ]


class TestDeletingUsers:
    def test_everything_of_a_deactivated_user_goes(self, browser, api: API, parse, tenant, store):
        dataset = api.create_dataset()["id"]
        parse(api, dataset)
        page = path_of(User, "delete", tenant.pk)
        assert browser.post(page, {"post": "yes"}).status_code == 403
        User.objects.filter(pk=tenant.pk).update(is_active=False)
        assert "Documents: 1" in browser.text(page).replace("documents", "Documents")
        browser.post(page, {"post": "yes"})
        assert not User.objects.filter(pk=tenant.pk).exists()
        assert not Tenant.objects.filter(pk=tenant.pk).exists()
        assert not Document.objects.exists()
        assert store.count(dataset).chunks == 0
        assert AuditEntry.objects.filter(action="delete", object_kind="user").count() == 1

    def test_a_failing_store_keeps_the_user(self, browser, api: API, parse, tenant, monkeypatch):
        parse(api, api.create_dataset()["id"])
        User.objects.filter(pk=tenant.pk).update(is_active=False)
        monkeypatch.setattr("apps.datasets.services.doc_store", lambda: 1 / 0)
        page = browser.post(path_of(User, "delete", tenant.pk), {"post": "yes"}, follow=True).content.decode()
        assert "An internal error occurred during user deletion." in page
        assert "was deleted successfully" not in page
        assert User.objects.filter(pk=tenant.pk).exists()

    def test_neither_in_bulk_nor_by_way_of_the_tenant(self, browser, api: API, tenant):
        User.objects.filter(pk=tenant.pk).update(is_active=False)
        browser.act(User, "delete_selected", tenant.pk, post="yes")
        browser.act(Tenant, "delete_selected", tenant.pk, post="yes")
        assert browser.post(path_of(Tenant, "delete", tenant.pk), {"post": "yes"}).status_code == 403
        assert Tenant.objects.filter(pk=tenant.pk).exists()
        assert User.objects.filter(pk=tenant.pk).exists()


class TestMembers:
    """A tenant keeps the owner it has."""

    def test_an_owner_stays(self, browser, api: API, tenant):
        owner = Membership.objects.get(tenant=tenant)
        page = path_of(Membership, "change", owner.pk)
        assert browser.post(page, {"role": "viewer"}).status_code == 403
        assert browser.post(path_of(Membership, "delete", owner.pk), {"post": "yes"}).status_code == 403
        browser.act(Membership, "delete_selected", owner.pk, post="yes")
        browser.post(path_of(Tenant, "change", tenant.pk), {"name": "Renamed", **NO_MEMBERS})
        assert Membership.objects.get(tenant=tenant).role == "owner"
        assert Tenant.objects.get(pk=tenant.pk).name == "Renamed"

    def test_nobody_becomes_a_second_owner(self, browser, api: API, tenant):
        user = services.create_account(email="member@example.org")
        form = {"user": user.pk, "tenant": tenant.pk, "role": "owner"}
        browser.post(path_of(Membership, "add"), form)
        assert not Membership.objects.filter(tenant=tenant, user=user).exists()
        assert browser.post(path_of(Membership, "add"), form | {"role": "editor"}).status_code == 302
        member = Membership.objects.get(tenant=tenant, user=user)
        assert browser.post(path_of(Membership, "delete", member.pk), {"post": "yes"}).status_code == 302
        assert not Membership.objects.filter(pk=member.pk).exists()


class TestLimitedOperators:
    def test_who_may_view_can_change_nothing(self, staff, api: API, parse, failed):
        dataset, token = failed.dataset_id, APIToken.objects.get(tenant=api.tenant)
        viewer = staff(*(f"view_{model._meta.model_name}" for model in LISTS))
        for model in LISTS:
            assert viewer.get(path_of(model)).status_code == 200
        for model, action, row in (
            (KnowledgeBase, "retry", dataset),
            (KnowledgeBase, "delete_selected", dataset),
            (Document, "parse", failed.pk),
            (Document, "cancel", failed.pk),
            (Document, "delete_selected", failed.pk),
            (APIToken, "revoke", token.pk),
            (User, "log_out", api.tenant.pk),
        ):
            viewer.act(model, action, row, post="yes")
        failed.refresh_from_db()
        token.refresh_from_db()
        assert failed.state == Document.State.FAIL
        assert token.is_usable
        assert "0 datasets in order" not in viewer.act(KnowledgeBase, "verify", dataset)
        assert api.call("GET", "/api/v1/datasets")["code"] == 0

    def test_places_that_one_may_not_see_are_not_linked(self, staff):
        page = staff("view_document").text(path_of(Document))
        assert path_of(Tenant) not in page

    def test_who_may_parse(self, staff, failed):
        operator = staff("view_document", "change_document")
        assert "1 document queued." in operator.act(Document, "parse", failed.pk)

    def test_nobody_gives_himself_rights(self, staff, browser):
        operator = staff("view_user", "change_user")
        own = path_of(User, "change", operator.user.pk)
        everything = [permission.pk for permission in Permission.objects.all()]
        form = {"email": "staff@example.org", "nickname": "new", "is_active": "on"}
        rights = {"is_staff": "on", "is_superuser": "on", "user_permissions": everything}
        assert operator.post(own, form | rights).status_code == 302
        operator.user.refresh_from_db()
        assert (operator.user.nickname, operator.user.is_superuser) == ("new", False)
        assert operator.user.user_permissions.count() == 2

    def test_a_superuser_cannot_shut_himself_out(self, browser):
        form = {"email": "root@example.org", "nickname": "new"}  # no box is ticked
        assert browser.post(path_of(User, "change", browser.user.pk), form).status_code == 302
        browser.user.refresh_from_db()
        assert (browser.user.nickname, browser.user.is_active, browser.user.is_superuser) == ("new", True, True)

    def test_two_who_take_each_others_rights_leave_one_superuser(self, browser):
        """The form of the second one, whose page was opened before the first one's was saved."""
        form = ChangeUserForm({"email": "root@example.org"}, instance=browser.user)
        assert "only active superuser left" in str(form.non_field_errors())
        User.objects.create_superuser("eve@example.org", "correct horse battery")
        assert not ChangeUserForm({"email": "root@example.org"}, instance=browser.user).non_field_errors()

    def test_a_new_password_and_a_deactivation_end_the_login(self, browser, tenant):
        user, password = User.objects.get(pk=tenant.pk), "other horse battery"
        form = {"usable_password": "true", "password1": password, "password2": password}
        for path, sent in (
            (reverse("admin:auth_user_password_change", args=[user.pk]), form),
            (path_of(User, "change", user.pk), {"email": user.email}),
        ):
            User.objects.filter(pk=user.pk).update(session_digest="a login")
            assert browser.post(path, sent).status_code == 302
            user.refresh_from_db()
            assert user.session_digest is None
        assert user.check_password(password)
        assert not user.is_active

    def test_ones_own_new_password_ends_the_login_and_is_recorded(self, browser):
        path, new = reverse("admin:password_change"), "other horse battery"
        form = {"old_password": "correct horse battery", "new_password1": new, "new_password2": new}
        User.objects.update(session_digest="a login")
        assert "Password change" in browser.text(path)
        assert browser.post(path, form).status_code == 302
        browser.user.refresh_from_db()
        assert browser.user.check_password(new)
        assert browser.user.session_digest is None
        assert AuditEntry.objects.filter(
            action="set password", object_id=browser.user.pk, actor_name="root@example.org"
        )
        assert browser.get(path_of(User)).status_code == 200  # the browser's own session goes on

    def test_nobody_guesses_the_password_of_an_open_browser(self, browser):
        path, new = reverse("admin:password_change"), "other horse battery"
        form = {"old_password": "wrong", "new_password1": new, "new_password2": new}
        for _ in range(throttles.PASSWORD_OF_LOGIN.count):
            assert "entered incorrectly" in browser.post(path, form).content.decode()
        right = browser.post(path, form | {"old_password": "correct horse battery"})
        assert right.status_code == 200
        assert "Too many" in right.content.decode()

    def test_only_operators_change_a_password_there(self, db):
        browser = Browser(services.create_account(email="ada@example.org", password="correct horse battery"))
        assert browser.get(reverse("admin:password_change")).status_code == 302

    def test_superusers_are_out_of_reach(self, staff, browser):
        operator = staff("view_user", "change_user", "delete_user")
        page = path_of(User, "change", browser.user.pk)
        assert operator.post(page, {"email": "mine@example.org", "is_active": "on"}).status_code == 403
        password = {"usable_password": "true", "password1": "other horse battery", "password2": "other horse battery"}
        path = reverse("admin:auth_user_password_change", args=[browser.user.pk])
        assert operator.post(path, password).status_code == 403
        browser.user.refresh_from_db()
        assert browser.user.email == "root@example.org"
        assert browser.user.check_password("correct horse battery")


def test_models_are_asked_when_there_is_a_place_to_wait(browser, tenant):
    row = TenantModel.objects.create(
        tenant=tenant, provider="OpenAI", name="gpt-4o", type="chat", encrypted_key=encrypt("x")
    )
    with ExitStack() as others:
        for _ in range(throttles.WAITING_AT_ONCE):
            others.enter_context(throttles.place_to_wait(1))
        assert "does not answer. Too many" in browser.act(TenantModel, "ask", row.pk)


class TestWhatHappensMeanwhile:
    """A page writes what was edited on it. The rest of the row may have changed since it was read."""

    def test_a_token_that_is_revoked_stays_revoked(self, browser, tenant, monkeypatch):
        token = services.create_token(tenant=tenant).token
        meanwhile(monkeypatch, lambda: services.revoke_token(token=token))
        form = {"tenant": tenant.pk, "name": "renamed", "scopes": ["read"]}
        assert browser.post(path_of(APIToken, "change", token.pk), form).status_code == 302
        token.refresh_from_db()
        assert (token.name, token.scopes) == ("renamed", ["read"])
        assert token.revoked_at is not None

    @pytest.mark.parametrize("page", ["change", "password"])
    def test_a_user_keeps_what_others_change(self, browser, tenant, monkeypatch, page):
        user = User.objects.get(pk=tenant.pk)
        meanwhile(monkeypatch, lambda: User.objects.filter(pk=user.pk).update(nickname="Meanwhile"))
        password = {"usable_password": "true", "password1": "other horse battery", "password2": "other horse battery"}
        path, form = {
            "change": (path_of(User, "change", user.pk), {"email": "new@example.org", "nickname": user.nickname}),
            "password": (reverse("admin:auth_user_password_change", args=[user.pk]), password),
        }[page]
        assert browser.post(path, form).status_code == 302
        assert User.objects.get(pk=user.pk).nickname == "Meanwhile"

    def test_tokens_that_a_model_takes_are_counted(self, browser, tenant, monkeypatch):
        row = TenantModel.objects.create(
            tenant=tenant, provider="OpenAI", name="gpt-4o", type="chat", encrypted_key=encrypt("old")
        )
        meanwhile(monkeypatch, lambda: TenantModel.objects.update(used_tokens=7))
        form = {
            "tenant": tenant.pk,
            "provider": "OpenAI",
            "name": "gpt-4o",
            "type": "chat",
            "max_tokens": "8192",
            "is_enabled": "on",
            "api_key": "new",
        }
        assert browser.post(path_of(TenantModel, "change", row.pk), form).status_code == 302
        row.refresh_from_db()
        assert (row.used_tokens, decrypt(row.encrypted_key)) == (7, "new")
