"""Parts, settings, environment, version and roles at the admin API."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from django.core import mail
from django.utils import timezone

from apps.accounts import system_settings
from apps.accounts.mail import can_send, send
from apps.accounts.models import Membership, SystemSetting, User
from apps.administration import parts
from ragflow import health
from ragflow.models import Worker
from tests.apps.accounts.conftest import Web, encrypted
from tests.apps.administration.conftest import outcome

TYPES = ["ragflow_server", "meta_data", "file_store", "retrieval", "message_queue", "task_executor"]


class TestServices:
    def test_the_list(self, ask, profile: str):
        answer = ask("GET", "services")
        assert (answer["code"], answer["message"]) == (0, "Get all services")
        assert [row["service_type"] for row in answer["data"]] == TYPES
        assert [row["id"] for row in answer["data"]] == list(range(6))
        for row in answer["data"]:
            assert set(row) == {"id", "name", "host", "port", "service_type", "extra", "status"}
            assert row["status"] == ("timeout" if row["name"] == "task_executor" else "alive")

    def test_configs_are_the_same_without_status(self, ask):
        listed = [{k: v for k, v in row.items() if k != "status"} for row in ask("GET", "services")["data"]]
        assert ask("GET", "configs")["data"] == listed

    def test_passwords_are_masked(self, ask, settings):
        settings.ELASTICSEARCH_URL = "http://elastic:planted@search.example:9200"
        settings.REDIS_URL = "redis://:planted@queue.example:6379/2"
        settings.DATABASES["default"]["PASSWORD"] = "planted"
        try:
            answer = ask("GET", "configs")
        finally:
            settings.DATABASES["default"]["PASSWORD"] = ""
        assert "planted" not in str(answer)
        index, broker = answer["data"][3:5]
        assert (index["host"], index["port"]) == ("search.example", 9200)
        assert index["extra"] == {"retrieval_type": "elasticsearch", "username": "elastic", "password": "********"}
        assert broker["extra"] == {"mq_type": "redis", "database": "2", "password": "********"}

    def test_one_part(self, ask, profile: str):
        for number in range(5):
            data = ask("GET", f"services/{number}")["data"]
            assert data["status"] == "alive"
            assert data["message"].startswith("Confirm elapsed: ")
        expected = {"service_name": "task_executor", "status": "timeout", "message": "Not found any task executor."}
        assert ask("GET", "services/5")["data"] == expected
        Worker.objects.create(name="ingest@host/1", threads=1, started_at=timezone.now(), seen_at=timezone.now())
        data = ask("GET", "services/5")["data"]
        assert data["status"] == "alive"
        assert set(data["message"]) == {"ingest@host/1"}

    @pytest.mark.parametrize("number", ["6", "-1", "01", "9" * 5000])
    def test_unknown_parts(self, ask, number: str, profile: str):
        assert outcome(ask("GET", f"services/{number}")) == (400, 500, f"invalid service_index: {number}")

    @pytest.mark.parametrize("number", ["x", "1.5", "--1", "٣"])
    def test_what_is_no_number(self, ask, number: str, profile: str):
        sentence = f"The number of a service must be a whole number, not {number!r}."
        text = f"invalid literal for int() with base 10: {number!r}" if profile == "exact" else sentence
        assert outcome(ask("GET", f"services/{number}")) == (400, 500, text)

    def test_a_part_that_fails_and_one_that_hangs(self, ask, monkeypatch):
        released = threading.Event()

        def fail() -> None:
            raise OSError("planted reason")

        monkeypatch.setitem(health.CHECKS, "storage", fail)
        monkeypatch.setitem(health.CHECKS, "doc_engine", released.wait)
        monkeypatch.setattr(parts, "SECONDS", 0.05)
        try:
            answer = ask("GET", "services")
            message = ask("GET", "services/2")["data"]["message"]
        finally:
            released.set()
        assert [row["status"] for row in answer["data"][:5]] == ["alive", "alive", "timeout", "timeout", "alive"]
        assert message.startswith("error: ")
        assert "planted" not in message

    def test_what_is_not_possible(self, ask, profile: str):
        assert outcome(ask("PUT", "services/0")) == (400, 500, "restart_service: not implemented")
        assert outcome(ask("DELETE", "services/0")) == (400, 500, "shutdown_service: not implemented")
        assert outcome(ask("GET", "service_types/x")) == (400, 500, "get_services_by_type: not implemented")


def change(ask: Any, name: str, value: object) -> dict[str, Any]:
    return ask("PUT", "variables", {"var_name": name, "var_value": value})


def shown(ask: Any, name: str) -> str:
    (row,) = ask("GET", "variables", {"var_name": name})["data"]
    return row["value"]


class TestSettings:
    def test_the_list(self, ask, profile: str):
        answer = ask("GET", "variables")
        rows = {row.pop("name"): row for row in answer["data"]}
        assert list(rows)[:3] == ["enable_whitelist", "default_role", "mail.server"]
        assert rows["enable_whitelist"] == {"source": "variable", "data_type": "bool", "value": "true"}
        assert rows["mail.timeout"] == {"source": "variable", "data_type": "integer", "value": "10"}
        assert rows["mail.password"]["value"] == ""

    def test_those_that_begin_alike(self, ask, profile: str):
        names = [row["name"] for row in ask("GET", "variables", {"var_name": "mail.use_"})["data"]]
        assert names == ["mail.use_ssl", "mail.use_tls"]
        unknown = ask("GET", "variables", {"var_name": "nothing"})
        assert outcome(unknown) == (400, 400, "Can't get setting: nothing")
        text = "'var_name'" if profile == "exact" else "`var_name` is required."
        assert outcome(ask("GET", "variables", {"x": 1})) == (400, 500, text)

    def test_a_change(self, ask, profile: str):
        answer = change(ask, "mail.ser", " smtp.example.org ")
        assert (answer["code"], answer["message"], answer["data"]) == (0, "Set variable successfully", None)
        assert shown(ask, "mail.server") == "smtp.example.org"

    def test_refusals(self, ask, profile: str):
        assert outcome(change(ask, "mail.port", None)) == (400, 400, "Var value is required")
        assert outcome(change(ask, "nothing", "x")) == (400, 400, "No setting: nothing")
        assert outcome(change(ask, "mail.use", "true")) == (400, 400, "Can't update more than 1 setting: mail.use")
        for name, value in (
            *(("mail.port", "many"), ("mail.port", "0"), ("mail.port", "65536"), ("mail.timeout", "")),
            *(("mail.use_ssl", "maybe"), ("default_role", "owner"), ("mail.server", "a\nb"), ("mail.server", "\0")),
            *(("mail.server", {"a": 1}), ("mail.server", "x" * 100_000)),
        ):
            status, code, message = outcome(change(ask, name, value))
            assert (status, code) == (400, 400), (name, value)
            assert message
        assert not SystemSetting.objects.exists()

    def test_what_the_environment_gives_is_fixed(self, ask, settings):
        settings.GIVEN_VARIABLES = {"RAGFLOW_MAIL_URL"}
        settings.EMAIL_HOST, settings.EMAIL_HOST_PASSWORD = "given.example", "planted"
        SystemSetting.objects.create(name="mail.server", value="stored.example")
        rows = {row["name"]: row for row in ask("GET", "variables")["data"]}
        assert (rows["mail.server"]["source"], rows["mail.server"]["value"]) == ("environment", "given.example")
        assert rows["mail.password"]["value"] == "********"
        assert "RAGFLOW_MAIL_URL" in outcome(change(ask, "mail.server", "x"))[2]

    def test_the_mail_password_is_stored_encrypted_and_shown_to_nobody(self, ask):
        assert change(ask, "mail.password", "planted")["code"] == 0
        assert shown(ask, "mail.password") == "********"
        row = SystemSetting.objects.get()
        assert (row.value, "planted" in row.encrypted_value) == ("", False)
        assert system_settings.value("mail.password") == "planted"
        assert change(ask, "mail.password", "")["code"] == 0
        assert SystemSetting.objects.get().encrypted_value == ""

    def test_mail_goes_through_the_server_that_is_set(self, ask, settings, monkeypatch):
        settings.EMAIL_BACKEND = "django.core.mail.backends.dummy.EmailBackend"
        assert not can_send()
        for name, value in (
            *(("mail.server", "smtp.example.org"), ("mail.port", 2525), ("mail.username", "me"), ("mail.timeout", "3")),
            *(("mail.password", "planted"), ("mail.use_tls", "true"), ("mail.default_sender", "rag@example.org")),
        ):
            assert change(ask, name, value)["code"] == 0
        used: list[Any] = []
        smtp = "django.core.mail.backends.smtp.EmailBackend.send_messages"
        monkeypatch.setattr(smtp, lambda backend, messages: used.append((backend, messages[0])))
        assert can_send()
        send(subject="s", text="t", to="ada@example.org")
        ((backend, message),) = used
        assert (backend.host, backend.port, backend.username, backend.password) == (
            *("smtp.example.org", 2525, "me", "planted"),
        )
        assert (backend.use_tls, backend.use_ssl, backend.timeout) == (True, False, 3)
        assert message.from_email == "rag@example.org"
        assert mail.outbox == []

    def test_registration_opens_for_those_on_the_list(self, ask, anonymous: Web, settings):
        def register(email: str) -> int:
            body = {"email": email, "nickname": "", "password": encrypted("x")}
            return anonymous.call("POST", "/v1/user/register", body)["code"]

        assert register("a@example.org") == 103
        assert "RAGFLOW_REGISTRATION" in outcome(change(ask, "registration.open", "true"))[2]
        settings.IS_PERSONAL = False
        assert change(ask, "registration.open", True)["code"] == 0
        assert anonymous.call("GET", "/v1/system/config")["data"] == {"registerEnabled": 1}
        assert register("a@example.org") == 0
        assert change(ask, "registration.whitelist", "b@example.net, @Example.org")["code"] == 0
        assert register("c@example.net") == 103
        assert register("B@example.net") == 0
        assert register("d@example.org") == 0
        assert register("d@sub.example.org") == 103
        assert change(ask, "enable_whitelist", "off")["code"] == 0
        assert register("c@example.net") == 0
        assert change(ask, "registration.open", "0")["code"] == 0
        assert register("e@example.org") == 103

    def test_the_role_of_invitations(self, ask, root: Web, ada: Web):
        path = f"/v1/tenant/{root.user.pk}/user"
        assert change(ask, "default_role", "viewer")["code"] == 0
        assert root.call("POST", path, {"email": "ada@example.org"})["code"] == 0
        assert Membership.objects.get(tenant_id=root.user.pk, user=ada.user).role == "viewer"


def test_environment_and_version(ask, settings, profile: str):
    settings.DEFAULT_SUPERUSER_EMAIL = "boss@example.org"
    rows = ask("GET", "environments")["data"]
    names = ["DOC_ENGINE", "DEFAULT_SUPERUSER_EMAIL", "DB_TYPE", "DEVICE", "STORAGE_IMPL"]
    assert [row["env"] for row in rows] == names
    assert (rows[0]["value"], rows[1]["value"]) == ("embedded", "boss@example.org")
    assert ask("GET", "version")["data"] == {"version": "v0.23.1"}


@pytest.mark.parametrize(
    ("method", "path", "body", "code", "message"),
    [
        ("POST", "roles", {}, 400, "Role name is required"),
        ("POST", "roles", {"role_name": "r", "description": "d"}, 500, "create role: r, description: d"),
        ("GET", "roles", None, 500, "list roles"),
        ("PUT", "roles/r", {}, 400, "Role description is required"),
        ("PUT", "roles/r", {"description": "d"}, 500, "update role: r with description: d"),
        ("DELETE", "roles/r", None, 500, "drop role: r"),
        ("GET", "roles/r/permission", None, 500, "show role r"),
        ("POST", "roles/r/permission", {"actions": ["a"]}, 400, "Permission is required"),
        ("POST", "roles/r/permission", {"actions": ["a"], "resource": "x"}, 500, "grant role r actions: ['a'] on x"),
        ("DELETE", "roles/r/permission", {"resource": "x"}, 400, "Permission is required"),
        ("DELETE", "roles/r/permission", {"actions": ["a"], "resource": "x"}, 500, "revoke role r actions: ['a'] on x"),
        ("PUT", "users/u/role", {}, 400, "Role name is required"),
        ("PUT", "users/u/role", {"role_name": "r"}, 500, "update user role: u to role r"),
        ("GET", "users/u/permission", None, 500, "get user permission: u"),
    ],
)
def test_roles(ask, method: str, path: str, body: Any, code: int, message: str, profile: str):
    text = f"not implement: {message}" if code == 500 else message
    assert outcome(ask(method, path, body)) == (400, code, text)


def test_a_role_without_description(ask, profile: str):
    text = "'description'" if profile == "exact" else "`description` is required."
    assert outcome(ask("POST", "roles", {"role_name": "r"})) == (400, 500, text)


def test_nothing_here_changes_without_being_asked(ask):
    for path in ("services", "configs", "variables", "environments"):
        ask("GET", path)
    assert not SystemSetting.objects.exists()
    assert User.objects.count() == 1
