from __future__ import annotations

import pytest
from django.test import Client

from apps.accounts.models import Tenant, User
from apps.accounts.services import create_token
from tests.apps.accounts.conftest import PASSWORD, Web, encrypted

MODELS = {"llm_id": "a@B", "embd_id": "c@D", "asr_id": "e@F", "img2txt_id": "g@H"}


class TestSetting:
    def change(self, web: Web, **body):
        return web.call("POST", "/v1/user/setting", body)

    def test_the_profile(self, ada: Web, profile: str):
        fields = {
            "nickname": "Countess", "avatar": "data:image/png;base64,AA==", "language": "Chinese",
            "color_schema": "Dark", "timezone": "UTC\tUTC",
        }  # fmt: skip
        assert self.change(ada, **fields)["data"] is True
        assert ada.call("GET", "/v1/user/info")["data"].items() >= fields.items()
        assert self.change(ada, avatar=None)["data"] is True
        assert ada.call("GET", "/v1/user/info")["data"]["avatar"] is None

    @pytest.mark.parametrize(
        "name",
        ["email", "status", "is_superuser", "login_channel", "is_anonymous", "is_active", "is_authenticated",
         "last_login_time", "new_password"],
    )  # fmt: skip
    def test_what_is_never_copied(self, ada: Web, name: str, profile: str):
        before = User.objects.values().get()
        assert self.change(ada, **{name: "1"})["data"] is True
        assert User.objects.values().get() == before

    @pytest.mark.parametrize("name", ["id", "access_token", "is_staff", "session_digest", "tenant_id", "_state"])
    def test_unknown_fields_change_nothing(self, ada: Web, name: str, profile: str):
        before = User.objects.values().get()
        answer = self.change(ada, nickname="Eve", **{name: "x"})
        if profile == "exact":
            assert (answer["code"], answer["message"], answer["data"]) == (100, "Update failure!", False)
        else:
            assert (answer["code"], answer["status"]) == (101, 400)
            assert name in answer["message"]
        assert User.objects.values().get() == before

    @pytest.mark.parametrize("body", [{"nickname": None}, {"nickname": "x" * 101}, {"avatar": 5}, {"language": "\0"}])
    def test_bad_values(self, ada: Web, body: dict[str, object]):
        answer = self.change(ada, **body)
        assert (answer["code"], answer["data"]) == (101, None)  # the web API's envelope has all three keys

    def test_a_new_password(self, ada: Web, profile: str):
        answer = self.change(ada, password=encrypted(PASSWORD), new_password=encrypted("new one"))
        assert answer["data"] is True
        assert ada.call("GET", "/v1/user/info")["code"] == 0
        assert Client().login(username="ada@example.org", password="new one")
        assert not Client().login(username="ada@example.org", password=PASSWORD)

    def test_a_new_password_set_with_an_api_token_ends_the_login(self, ada: Web):
        bearer = Web(f"Bearer {create_token(tenant=Tenant.objects.get()).secret}")
        assert self.change(bearer, password=encrypted(PASSWORD), new_password=encrypted("new one"))["data"] is True
        assert ada.call("GET", "/v1/user/info")["status"] == 401

    def test_a_new_password_set_in_a_browser_ends_the_login(self, ada: Web):
        browser = Web()
        browser.force_login(ada.user)
        assert self.change(browser, password=encrypted(PASSWORD), new_password=encrypted("new one"))["data"] is True
        assert ada.call("GET", "/v1/user/info")["status"] == 401

    def test_the_current_password_must_be_right(self, ada: Web, profile: str):
        before = User.objects.values().get()
        answer = self.change(ada, password=encrypted("wrong"), new_password=encrypted("new"), nickname="Eve")
        assert (answer["code"], answer["message"], answer["data"]) == (109, "Password error!", False)
        assert User.objects.values().get() == before

    def test_the_current_password_is_looked_at_before_the_fields(self, ada: Web, profile: str):
        before = User.objects.values().get()
        answer = self.change(ada, password=encrypted("wrong"), unknown=1)
        assert (answer["code"], answer["message"]) == (109, "Password error!")
        answer = self.change(ada, password=encrypted(PASSWORD), new_password=encrypted("new"), unknown=1)
        assert (answer["code"], answer["data"]) == (100 if profile == "exact" else 101, False)
        assert User.objects.values().get() == before

    @pytest.mark.parametrize(("password", "new"), [(5, "x"), ("\n", "x"), (None, {"a": 1})])
    def test_unreadable_passwords(self, ada: Web, password, new, profile: str, settings):
        settings.PLAIN_PASSWORDS = False
        before = User.objects.values().get()
        answer = self.change(ada, password=password or encrypted(PASSWORD), new_password=new)
        assert answer["code"] == (101 if profile == "standard" else 100)
        assert User.objects.values().get() == before

    def test_bodies_that_cannot_be_read(self, ada: Web, profile: str):
        for content in (b"{", b'"text"', b"[1]"):
            assert ada.send("POST", "/v1/user/setting", content).json()["code"] == (
                101 if profile == "standard" else 100
            )


class TestTenant:
    def choose(self, web: Web, **changes):
        assert web.user is not None
        return web.call("POST", "/v1/user/set_tenant_info", MODELS | {"tenant_id": web.user.pk} | changes)

    def test_what_a_tenant_says(self, ada: Web, profile: str):
        answer = ada.call("GET", "/v1/user/tenant_info")
        assert answer["message"] == "success"
        assert set(answer["data"]) == {
            "tenant_id", "name", "llm_id", "embd_id", "rerank_id", "asr_id", "img2txt_id", "tts_id", "parser_ids",
            "role",
        }  # fmt: skip
        assert answer["data"]["embd_id"]
        assert answer["data"]["llm_id"]
        assert answer["data"]["tts_id"] is None
        assert answer["data"]["parser_ids"].startswith("naive:General,qa:Q&A,")

    def test_all_of_it_can_be_chosen(self, ada: Web, profile: str):
        chosen = MODELS | {"rerank_id": "i@J", "tts_id": "k@L", "name": "Engines", "parser_ids": "naive:General"}
        assert self.choose(ada, **chosen)["data"] is True
        assert ada.call("GET", "/v1/user/tenant_info")["data"].items() >= chosen.items()
        assert self.choose(ada, tts_id=None, asr_id=None)["data"] is True
        assert ada.call("GET", "/v1/user/tenant_info")["data"].items() >= {"tts_id": None, "asr_id": ""}.items()

    def test_of_ones_own_tenant_only(self, ada: Web, bob: Web, profile: str):
        for tenant_id in (bob.user.pk, "", None, 5, ["a"]):
            answer = self.choose(ada, tenant_id=tenant_id)
            assert (answer["code"], answer["message"], answer["data"]) == (109, "No authorization.", False)
        assert not Tenant.objects.exclude(chat_model="").exists()

    def test_declared_arguments_come_first(self, ada: Web, profile: str):
        answer = ada.call("POST", "/v1/user/set_tenant_info", {"embd_id": None})
        expected = "required argument are missing: tenant_id,asr_id,img2txt_id,llm_id; "
        assert (answer["code"], answer["message"], answer["data"]) == (101, expected, None)

    @pytest.mark.parametrize(
        "changes", [{"id": "x"}, {"credit": 5}, {"llm_id": 5}, {"name": ""}, {"embd_id": "x" * 256}]
    )
    def test_other_fields_and_values_are_refused(self, ada: Web, changes: dict[str, object], profile: str):
        assert self.choose(ada, **changes)["code"] in {100, 101}
        assert Tenant.objects.get().chat_model == ""

    def test_a_field_that_does_not_exist(self, ada: Web, profile: str):
        answer = self.choose(ada, credit=5)
        assert (answer["code"], answer["data"]) == (100 if profile == "exact" else 101, None)

    def test_an_account_without_a_tenant(self, ada: Web, profile: str):
        Tenant.objects.all().delete()
        answer = ada.call("GET", "/v1/user/tenant_info")
        assert (answer["code"], answer["message"]) == (102, "Tenant not found!")
        assert "data" not in answer
