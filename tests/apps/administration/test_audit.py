"""The audit log: every write of consequence leaves one entry, which nobody changes and which holds no secret."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction
from django.db.models import QuerySet
from django.test import Client
from django.utils import timezone

from apps.accounts import audit, services
from apps.accounts.models import AuditEntry, Tenant, TenantModel
from apps.accounts.services import retention
from apps.accounts.services.retention import forget_old_entries
from apps.core import caller
from apps.datasets.models import KnowledgeBase
from apps.datasets.schemas import CreateDataset
from apps.datasets.services import create_dataset
from apps.documents.models import File
from ragflow import housekeeping
from tests.apps.accounts.conftest import PASSWORD, Web, encrypted, join
from tests.apps.administration.conftest import PATH
from tests.apps.conftest import API, form


def entries() -> list[AuditEntry]:
    return list(AuditEntry.objects.order_by("id"))


def since(last: int) -> list[tuple[str, str]]:
    return [(entry.action, entry.object_kind) for entry in AuditEntry.objects.filter(pk__gt=last).order_by("id")]


def newest() -> AuditEntry:
    return AuditEntry.objects.first()


@pytest.fixture
def noted() -> Callable[[], list[tuple[str, str]]]:
    """Return a function that returns what has been recorded since it was last called."""
    last = 0

    def fresh() -> list[tuple[str, str]]:
        nonlocal last
        found = since(last)
        last = newest().pk if AuditEntry.objects.exists() else 0
        return found

    return fresh


class TestWhatIsRecorded:
    def test_people(self, anonymous: Web, ada: Web, noted, settings):
        settings.REGISTRATION_OPEN = True
        noted()
        person = {"email": "new@example.org", "nickname": "", "password": encrypted("x")}
        anonymous.call("POST", "/v1/user/register", person)
        assert noted() == [("create", "user"), ("login", "user")]
        anonymous.call("POST", "/v1/user/login", person)
        assert noted() == [("login", "user")]
        entry = newest()
        assert (entry.actor_kind, entry.actor_name, entry.object_name) == ("user", "new@example.org", "new@example.org")
        anonymous.call("POST", "/v1/user/login", person | {"password": encrypted("wrong")})
        assert noted() == [("refuse login", "user")]
        assert (newest().actor_kind, newest().object_name) == ("anonymous", "new@example.org")
        anonymous.call("POST", "/v1/user/login", {"email": "planted password", "password": encrypted("x")})
        assert newest().object_name == ""
        noted()
        ada.call("POST", "/v1/user/setting", {"nickname": "A"})
        assert noted() == [("update", "user")]
        assert newest().detail == {"fields": ["nickname"]}
        body = {"password": encrypted(PASSWORD), "new_password": encrypted("new")}
        ada.call("POST", "/v1/user/setting", body)
        assert noted() == [("set password", "user")]
        models = {"llm_id": "", "embd_id": "", "asr_id": "", "img2txt_id": ""}
        ada.call("POST", "/v1/user/set_tenant_info", models | {"tenant_id": ada.user.pk})
        assert noted() == [("update", "tenant")]
        ada.call("GET", "/v1/user/logout")
        assert noted() == [("logout", "user")]

    def test_tokens(self, ada: Web, noted):
        noted()
        made = ada.call("POST", "/v1/system/new_token")["data"]
        assert noted() == [("create", "token")]
        assert newest().object_id == made["id"]
        ada.call("POST", f"/v1/system/token/{made['id']}/rotate", {})
        assert noted() == [("rotate", "token")]
        for _ in range(2):
            ada.call("DELETE", f"/v1/system/token/{made['id']}")
        assert noted() == [("revoke", "token")]
        ada.call("POST", "/v1/api/new_token", {"dialog_id": "x"})
        assert noted() == [("create", "token")]

    def test_teams(self, ada: Web, root: Web, noted):
        team = f"/v1/tenant/{ada.user.pk}/user"
        noted()
        ada.call("POST", team, {"email": "root@example.org"})
        assert noted() == [("invite", "member")]
        root.call("PUT", f"/v1/tenant/agree/{ada.user.pk}")
        assert noted() == [("join", "member")]
        entry = newest()
        assert (entry.actor_id, entry.object_id, entry.tenant_id) == (root.user.pk, root.user.pk, ada.user.pk)
        ada.call("PUT", f"{team}/{root.user.pk}", {"role": "viewer"})
        assert (noted(), newest().detail) == ([("change role", "member")], {"role": "viewer"})
        ada.call("DELETE", f"{team}/{root.user.pk}")
        assert noted() == [("remove", "member")]

    def test_models(self, ada: Web, noted, monkeypatch):
        monkeypatch.setattr("apps.accounts.services.models.check", lambda *_args: None)
        noted()
        ada.call("POST", "/v1/llm/set_api_key", {"llm_factory": "ZHIPU-AI", "api_key": "planted"})
        assert (noted(), newest().object_name) == ([("set key", "model")], "ZHIPU-AI")
        name = TenantModel.objects.filter(type="chat").first().name
        ref = {"llm_factory": "ZHIPU-AI", "llm_name": name}
        ada.call("POST", "/v1/llm/enable_llm", ref | {"status": "0"})
        assert noted() == [("disable", "model")]
        for _ in range(2):
            ada.call("POST", "/v1/llm/delete_llm", ref)
        assert noted() == [("delete", "model")]
        ada.call("POST", "/v1/llm/delete_factory", {"llm_factory": "ZHIPU-AI"})
        assert noted() == [("delete key", "model")]

    def test_datasets_and_documents(self, api: API, noted, run_tasks):
        noted()
        dataset = api.create_dataset("set")["id"]
        assert (noted(), newest().object_id, newest().object_name) == ([("create", "dataset")], dataset, "set")
        api.call("PUT", f"/api/v1/datasets/{dataset}", {"description": "planted"})
        assert (noted(), newest().detail) == ([("update", "dataset")], {"fields": ["description"]})
        uploaded = [row["id"] for row in api.upload(dataset, ("a.txt", b"1"), ("b.txt", b"2"), ("c.txt", b"3"))]
        assert noted() == [("create", "document")]
        assert newest().detail == {"dataset": dataset, "count": 3, "ids": uploaded}
        document = f"/api/v1/datasets/{dataset}/documents/{uploaded[0]}"
        api.call("PUT", document, {"meta_fields": {"a": 1}, "name": "x.txt", "enabled": 1})
        assert (noted(), newest().detail["fields"]) == ([("update", "document")], ["meta_fields", "name", "enabled"])
        api.call("PUT", document, {"meta_fields": {"a": 2}, "name": "x.pdf"})
        assert (noted(), newest().detail["fields"]) == ([("update", "document")], ["meta_fields"])
        chunks = f"/api/v1/datasets/{dataset}/chunks"
        api.call("POST", chunks, {"document_ids": uploaded[:2]})
        assert (noted(), newest().detail["ids"]) == ([("parse", "document")], uploaded[:2])
        api.call("DELETE", chunks, {"document_ids": uploaded[:1]})
        assert (noted(), newest().object_id) == ([("stop parsing", "document")], uploaded[0])
        added = api.call("POST", f"{document}/chunks", {"content": "planted"})["data"]["chunk"]["id"]
        assert noted() == [("create", "chunk")]
        api.call("PUT", f"{document}/chunks/{added}", {"content": "planted again"})
        assert noted() == [("update", "chunk")]
        api.call("DELETE", f"{document}/chunks", {"chunk_ids": [added]})
        assert (noted(), newest().detail["count"]) == ([("delete", "chunk")], 1)
        api.call("DELETE", f"/api/v1/datasets/{dataset}/documents", {"ids": uploaded[:2]})
        assert (noted(), sorted(newest().detail["ids"])) == ([("delete", "document")], sorted(uploaded[:2]))
        api.call("DELETE", "/api/v1/datasets", {"ids": [dataset]})
        assert (noted(), newest().object_id) == ([("delete", "dataset")], dataset)
        assert all(entry.tenant_id == api.tenant.pk for entry in entries())
        assert "planted" not in str([entry.detail for entry in entries()])

    def test_chats(self, api: API, noted):
        noted()
        chat = api.call("POST", "/api/v1/chats", {"name": "chat"})["data"]["id"]
        assert (noted(), newest().object_name) == ([("create", "chat")], "chat")
        api.call("PUT", f"/api/v1/chats/{chat}", {"name": "renamed"})
        assert noted() == [("update", "chat")]
        api.call("POST", f"/api/v1/chats/{chat}/sessions", {"name": "s"})
        assert noted() == []
        api.call("DELETE", f"/api/v1/chats/{chat}/sessions", {"ids": []})
        assert noted() == [("delete", "session")]
        api.call("DELETE", "/api/v1/chats", {"ids": [chat]})
        assert (noted(), newest().object_id) == ([("delete", "chat")], chat)

    def test_files(self, api: API, noted):
        dataset = api.create_dataset()["id"]
        noted()
        content = form(("file", "a.txt", b"1"), ("file", "b.txt", b"2"))
        answer = api.send("POST", "/api/v1/file/upload", content, "multipart/form-data; boundary=----boundary")
        assert (answer["code"], noted()) == (0, [("create", "file")])
        file_id, other = File.objects.exclude(location="").order_by("name").values_list("pk", flat=True)
        api.call("POST", "/api/v1/file/create", {"name": "folder", "type": "folder"})
        assert noted() == [("create", "file")]
        folder = File.objects.get(name="folder").pk
        api.call("POST", "/api/v1/file/rename", {"file_id": file_id, "name": "c.txt"})
        assert noted() == [("rename", "file")]
        api.call("POST", "/api/v1/file/mv", {"src_file_ids": [file_id, other], "dest_file_id": folder})
        assert noted() == [("move", "file")]
        api.call("POST", "/api/v1/file/convert", {"file_ids": [file_id], "kb_ids": [dataset]})
        assert noted() == [("create", "document"), ("convert", "file")]
        api.call("POST", "/api/v1/file/rm", {"file_ids": [folder]})
        assert sorted(noted()) == [("delete", "document"), ("delete", "file")]

    def test_administration(self, ask, ada: Web, noted):
        noted()
        who = "users/ada@example.org"
        body = {"username": "new@example.org", "password": encrypted("x")}
        for method, path, sent, expected in (
            ("POST", "users", body, ("create", "user")),
            ("PUT", f"{who}/password", {"new_password": encrypted("y")}, ("set password", "user")),
            ("PUT", f"{who}/admin", None, ("grant administration", "user")),
            ("DELETE", f"{who}/admin", None, ("revoke administration", "user")),
            ("POST", f"{who}/keys", None, ("create", "token")),
            ("PUT", f"{who}/activate", {"activate_status": "off"}, ("deactivate", "user")),
            ("PUT", f"{who}/activate", {"activate_status": "on"}, ("activate", "user")),
            ("PUT", "variables", {"var_name": "mail.password", "var_value": "planted"}, ("change", "setting")),
        ):
            assert ask(method, path, sent)["code"] == 0
            assert noted() == [expected]
            assert newest().actor_name == "root@example.org"
            assert ask(method, path, None)["code"] is not None  # refused, or without effect
            noted()
        ask("PUT", f"{who}/activate", {"activate_status": "off"})
        noted()
        ask("DELETE", who)
        assert (noted(), newest().object_name) == ([("delete", "user")], "ada@example.org")
        assert "planted" not in str([entry.detail for entry in entries()])

    def test_refused_administrators(self, anonymous: Web, ada: Web, noted):
        noted()
        anonymous.call("POST", f"{PATH}login", {"email": "ada@example.org", "password": encrypted(PASSWORD)})
        assert (noted(), newest().detail) == ([("refuse login", "user")], {"reason": "Not admin"})

    def test_the_administration_pages(self, root: Web, ada: Web, noted):
        browser = Client()
        noted()
        browser.post("/admin/login/", {"username": "root@example.org", "password": "wrong"})
        assert noted() == [("refuse login", "user")]
        browser.post("/admin/login/", {"username": "root@example.org", "password": PASSWORD})
        assert noted() == [("login", "user")]
        body = {"email": "ada@example.org", "nickname": "planted", "is_active": "on"}
        browser.post(f"/admin/accounts/user/{ada.user.pk}/change/", body)
        assert noted() == [("update", "user")]
        assert newest().actor_name == "root@example.org"
        assert "planted" not in str(newest().detail)

    def test_the_right_password_of_one_who_is_no_operator(self, ada: Web, noted):
        noted()
        answer = Client().post("/admin/login/", {"username": "ada@example.org", "password": PASSWORD})
        assert "for a staff account" in answer.content.decode()
        assert noted() == [("refuse login", "user")]
        assert newest().detail == {"reason": "no operator"}

    def test_reading_is_not_recorded(self, api: API, ask, ada: Web, noted):
        dataset = api.create_dataset()["id"]
        noted()
        api.call("GET", "/api/v1/datasets")
        api.call("GET", f"/api/v1/datasets/{dataset}/documents")
        api.call("POST", "/api/v1/retrieval", {"question": "x", "dataset_ids": [dataset]})
        ada.call("GET", "/v1/user/info")
        ask("GET", "users")
        assert noted() == []


class TestWhoAndWhere:
    def test_a_token(self, api: API):
        api.create_dataset()
        entry = newest()
        assert entry.actor_kind == "token"
        assert entry.actor_name.startswith("ragflow-")
        assert entry.address == "127.0.0.1"
        assert entry.tenant_id == api.tenant.pk

    def test_the_request_is_named(self, api: API):
        response = api.post("/api/v1/datasets", b'{"name":"x"}', content_type="application/json")
        assert newest().request_id == response.headers["X-Request-Id"]

    def test_the_whole_address_behind_a_proxy(self, api: API, settings):
        settings.PROXIES = 1
        api.call("POST", "/api/v1/datasets", {"name": "x"}, HTTP_X_FORWARDED_FOR="1.2.3.4, 2001:db8::7")
        assert newest().address == "2001:db8::7"

    def test_the_command_line(self, db: None):
        caller._caller.set(None)
        services.create_account(email="x@example.org")
        entry = newest()
        assert (entry.actor_kind, entry.actor_id, entry.address, entry.request_id) == ("system", "", "", "")

    def test_a_member_of_a_team(self, ada: Web, root: Web):
        join(ada, root)
        key = services.create_token(tenant=Tenant.objects.get(pk=root.user.pk)).secret
        dataset = KnowledgeBase.objects.create(tenant_id=ada.user.pk, name="shared", permission="team")
        api = API(key)
        api.upload(dataset.pk, ("a.txt", b"x"))
        entry = newest()
        assert (entry.object_kind, entry.tenant_id, entry.actor_kind) == ("document", ada.user.pk, "token")


class TestAppendOnly:
    @pytest.fixture
    def entry(self, db: None) -> AuditEntry:
        audit.record("create", "dataset", id="x", name="x")
        return newest()

    def test_the_model_refuses(self, entry: AuditEntry):
        entry.action = "other"
        with pytest.raises(TypeError):
            entry.save()
        with pytest.raises(TypeError):
            entry.delete()
        with pytest.raises(TypeError):
            AuditEntry.objects.update(action="other")
        with pytest.raises(TypeError):
            AuditEntry.objects.filter(pk=entry.pk).delete()
        with pytest.raises(TypeError), transaction.atomic():
            AuditEntry.objects.bulk_update([entry], ["action"])
        assert newest().action == "create"

    def test_the_database_refuses(self, entry: AuditEntry):
        statements = ["UPDATE accounts_auditentry SET action = 'other'"]
        if connection.vendor == "postgresql":
            statements.append("DELETE FROM accounts_auditentry")
        for statement in statements:
            with pytest.raises(DatabaseError, match="never changed"), transaction.atomic():
                connection.cursor().execute(statement)
        assert newest().action == "create"

    def test_the_administration_pages_only_show(self, entry: AuditEntry, root: Web):
        browser = Client()
        browser.force_login(root.user)
        listed = browser.get("/admin/accounts/auditentry/?q=x")
        assert listed.status_code == 200
        assert b"dataset" in listed.content
        assert browser.get(f"/admin/accounts/auditentry/{entry.pk}/change/").status_code == 200
        assert browser.post(f"/admin/accounts/auditentry/{entry.pk}/change/", {"action": "x"}).status_code == 403
        assert browser.post(f"/admin/accounts/auditentry/{entry.pk}/delete/", {"post": "yes"}).status_code == 403
        assert browser.get("/admin/accounts/auditentry/add/").status_code == 403
        assert browser.get("/admin/accounts/systemsetting/").status_code == 200

    def test_an_entry_outlives_its_objects(self, ask, ada: Web):
        ask("PUT", "users/ada@example.org/activate", {"activate_status": "off"})
        ask("DELETE", "users/ada@example.org")
        assert AuditEntry.objects.filter(object_id=ada.user.pk, action="delete").exists()
        assert AuditEntry.objects.filter(object_id=ada.user.pk, action="deactivate").exists()


class TestTransactions:
    def test_what_is_rolled_back_has_not_happened(self, tenant: Tenant):
        before = AuditEntry.objects.count()
        with transaction.atomic():
            create_dataset(owner=tenant, data=CreateDataset(name="x"))
            transaction.set_rollback(True)
        assert AuditEntry.objects.count() == before

    def test_a_write_without_its_entry_is_undone(self, api: API, monkeypatch):
        def fail(*_args: Any, **_kwargs: Any) -> None:
            raise DatabaseError("planted")

        with monkeypatch.context() as patch:
            patch.setattr("apps.accounts.audit.AuditEntry.objects.create", fail)
            assert api.call("POST", "/api/v1/datasets", {"name": "x"})["code"] != 0
        assert not KnowledgeBase.objects.exists()

    def test_a_refused_write_is_not_recorded(self, api: API):
        api.create_dataset()
        before = AuditEntry.objects.count()
        api.call("DELETE", "/api/v1/datasets", {"ids": ["0" * 31 + "1"]})
        api.call("PUT", f"/api/v1/datasets/{KnowledgeBase.objects.get().pk}", {})
        assert AuditEntry.objects.count() == before

    def test_the_line_of_an_entry(self, api: API, caplog, django_capture_on_commit_callbacks):
        caplog.set_level(logging.INFO, logger="ragflow.audit")
        with django_capture_on_commit_callbacks(execute=True):
            api.create_dataset("logged")
        (record,) = [record for record in caplog.records if record.name == "ragflow.audit"]
        line = json.loads(json.dumps(record.audit))
        assert line["action"] == "create"
        assert line["object"] == {"kind": "dataset", "id": KnowledgeBase.objects.get().pk, "name": "logged"}
        assert line["actor"]["kind"] == "token"
        assert line["tenant"] == api.tenant.pk


def test_names_that_no_database_keeps(db: None):
    audit.record("create", "file", name="a\0" + "b" * 400)
    assert newest().object_name == ("a\ufffd" + "b" * 400)[:255]
    audit.record("refuse login", "user", name="\ud800@example.org")
    assert newest().object_name == "?@example.org"


class TestRetention:
    @pytest.fixture
    def ages(self, db: None, settings: Any) -> Callable[..., None]:
        """Return a function that makes an entry for each age in days."""
        settings.AUDIT_DAYS = 30
        caller._caller.set(None)

        def make(*days: float) -> None:
            for age in days:
                AuditEntry.objects.create(at=timezone.now() - timedelta(days=age), actor_kind="system", action="x")

        return make

    def test_old_entries_go_and_an_entry_says_so(self, ages):
        ages(400, 31.5, 30.5, 29, 0)
        assert forget_old_entries() == 3
        assert [entry.action for entry in entries()] == ["x", "x", "delete"]
        entry = newest()
        assert (entry.actor_kind, entry.object_kind, entry.detail["count"]) == ("system", "audit entry", 3)
        assert forget_old_entries() == 0
        assert AuditEntry.objects.count() == 3

    def test_less_than_a_day_s_worth_waits(self, ages):
        ages(30.9, 30.1)
        assert forget_old_entries() == 0
        assert AuditEntry.objects.count() == 2

    def test_many_go_in_slices(self, ages, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(retention, "AT_ONCE", 2)
        ages(32, 33, 34, 35, 36)
        assert forget_old_entries() == 5
        assert [entry.detail["count"] for entry in entries()] == [2, 2, 1]

    def test_without_the_setting_nothing_goes(self, ages, settings: Any):
        settings.AUDIT_DAYS = 0
        ages(5000)
        assert forget_old_entries() == 0
        assert AuditEntry.objects.count() == 1

    def test_the_line_of_json(self, ages, caplog, django_capture_on_commit_callbacks):
        ages(40)
        with caplog.at_level(logging.INFO, "ragflow.audit"), django_capture_on_commit_callbacks(execute=True):
            forget_old_entries()
        assert caplog.records[-1].audit["object"]["kind"] == "audit entry"

    def test_workers_do_it(self, ages):
        ages(40)
        housekeeping._forget()
        assert newest().object_kind == "audit entry"

    @pytest.mark.skipif(connection.vendor != "postgresql", reason="only there a trigger refuses deletions")
    def test_nobody_else_deletes(self, ages):
        ages(40)
        with pytest.raises(DatabaseError), transaction.atomic():
            QuerySet(AuditEntry).filter(action="x").delete()
        assert forget_old_entries() == 1
