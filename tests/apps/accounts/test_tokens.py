from __future__ import annotations

import re
from datetime import timedelta
from unittest.mock import patch

import pytest
from django.utils import timezone

from apps.accounts import authentication, selectors, services
from apps.accounts.errors import ShareTokenInvalid, ShareTokenMissing
from apps.accounts.models import APIToken, ShareToken, Tenant
from apps.accounts.scopes import needed_scope
from apps.accounts.services import tokens
from apps.accounts.services.tokens import create_share_token, revoke_share_token
from apps.core.errors import InvalidAPIKey, LacksScope, TooManyRequests
from apps.core.principal import Scope
from tests.apps.accounts.conftest import Web

UNAUTHORIZED = "<Unauthorized '401: Unauthorized'>"


def new_token(web: Web, **body):
    answer = web.call("POST", "/v1/system/new_token", body or None)
    assert answer["code"] == 0, answer
    return answer["data"]


def listed(web: Web):
    return web.call("GET", "/v1/system/token_list")["data"]


def bearer(token: str) -> Web:
    return Web(f"Bearer {token}")


class TestGeneral:
    def test_a_new_token_and_its_share_token(self, ada: Web, profile: str):
        made = new_token(ada)
        assert re.fullmatch(r"ragflow-[A-Za-z0-9_-]{43}", made["token"])
        assert re.fullmatch(r"[A-Za-z0-9_-]{32}", made["beta"])
        assert made["token"][8:40] != made["beta"]
        assert made["tenant_id"] == ada.user.pk
        assert (made["update_time"], made["update_date"]) == (None, None)
        assert bearer(made["token"]).call("GET", "/v1/user/info")["code"] == 0

    @pytest.mark.parametrize(
        ("content", "content_type"),
        [(b"", ""), (b"", "application/json"), (b"[1]", "application/json"), (b"{", "application/json"),
         (b"x", "text/plain"), (b'{"other": 1}', "application/json"), (b'{"name": null}', "application/json")],
    )  # fmt: skip
    def test_the_contract_ignores_other_bodies(self, ada: Web, content: bytes, content_type: str, settings):
        settings.WIRE_PROFILE = "exact"
        assert ada.send("POST", "/v1/system/new_token", content, content_type).json()["code"] == 0

    @pytest.mark.parametrize(
        ("content", "content_type"),
        [(b'{"scopes": ["read"],}', "application/json"), (b'["read"]', "application/json"),
         (b'{"scopes": ["read"]}', "application/x-www-form-urlencoded"), (b"scopes: read", "text/plain")],
    )  # fmt: skip
    def test_wishes_that_cannot_be_read_give_no_token_for_everything(self, ada: Web, content: bytes, content_type: str):
        answer = ada.send("POST", "/v1/system/new_token", content, content_type)
        assert (answer.status_code, answer.json()["code"]) == (400, 101)
        assert not APIToken.objects.exists()
        for nothing in ("", "application/json", "application/x-www-form-urlencoded"):
            assert ada.send("POST", "/v1/system/new_token", b"", nothing).json()["code"] == 0

    def test_lists_show_what_the_profile_allows(self, ada: Web, profile: str):
        made = new_token(ada, name="laptop")
        (row,) = listed(ada)
        assert (row["id"], row["name"], row["tenant_id"]) == (made["id"], "laptop", ada.user.pk)
        assert row["prefix"] == made["token"][:13]
        if profile == "exact":
            assert (row["token"], row["beta"]) == (made["token"], made["beta"])
        else:
            assert row["token"] == row["prefix"]
            assert made["token"] not in str(row)
            assert made["beta"] not in str(row)

    def test_the_exact_list_gives_every_token_a_share_token(self, ada: Web, settings):
        settings.WIRE_PROFILE = "exact"
        services.create_token(tenant=Tenant.objects.get())
        (row,) = listed(ada)
        assert len(row["beta"]) == 32
        assert listed(ada)[0]["beta"] == row["beta"]
        assert selectors.share_token_by_secret(row["beta"]) is not None

    def test_two_exact_lists_at_the_same_moment(self, ada: Web):
        token = services.create_token(tenant=Tenant.objects.get()).token
        seen = list(selectors.tokens_of(token.tenant))
        create_share_token(tenant=token.tenant, api_token=token)
        tokens.add_share_tokens(tokens=seen)
        assert ShareToken.objects.count() == 1

    @pytest.mark.parametrize("named_by", ["token", "prefix", "id"])
    def test_deleting(self, ada: Web, profile: str, named_by: str):
        made, kept = new_token(ada), new_token(ada)
        for _ in range(2):
            assert ada.call("DELETE", f"/v1/system/token/{made[named_by]}")["data"] is True
        assert [row["id"] for row in listed(ada)] == [kept["id"]]
        assert bearer(made["token"]).call("GET", "/v1/user/info")["message"] == UNAUTHORIZED
        assert selectors.share_token_by_secret(made["beta"]) is None
        assert selectors.share_token_by_secret(kept["beta"]) is not None
        assert not APIToken.objects.get(pk=made["id"]).encrypted_secret

    def test_an_ambiguous_prefix_deletes_nothing(self, ada: Web):
        made = [new_token(ada), new_token(ada)]
        APIToken.objects.update(prefix="ragflow-AAAAA")
        assert ada.call("DELETE", "/v1/system/token/ragflow-AAAAA")["code"] == 102
        assert len(listed(ada)) == len(made)

    def test_other_tenants_tokens_do_not_exist(self, ada: Web, bob: Web, profile: str):
        made = new_token(ada)
        for name in (made["token"], made["id"], made["prefix"], "%00", "x" * 500):
            assert bob.call("DELETE", f"/v1/system/token/{name}")["data"] is True
            assert bob.call("POST", f"/v1/system/token/{name}/rotate")["code"] == 102
        assert listed(bob) == []
        assert bearer(made["token"]).call("GET", "/v1/user/info")["code"] == 0

    def test_a_server_that_takes_none(self, ada: Web, profile: str, settings):
        token = bearer(new_token(ada)["token"])
        settings.API_TOKENS_CLOSED = True
        answer = token.call("GET", "/api/v1/datasets")
        assert answer["message"] == "`Authorization` can't be empty"
        assert token.call("GET", "/v1/user/info")["code"] == 0

    def test_without_a_tenant(self, ada: Web):
        Tenant.objects.all().delete()
        for method, path in [("POST", "new_token"), ("GET", "token_list"), ("DELETE", "token/x")]:
            assert ada.call(method, f"/v1/system/{path}")["message"] == "Tenant not found!"


class TestBound:
    @pytest.mark.parametrize(("key", "source"), [("dialog_id", None), ("canvas_id", "agent")])
    def test_from_making_to_removing(self, ada: Web, profile: str, key: str, source: str | None):
        made = ada.call("POST", "/v1/api/new_token", {key: "abc"})["data"]
        assert (made["dialog_id"], made["source"], "beta" in made) == ("abc", source, False)
        (row,) = ada.call("GET", f"/v1/api/token_list?{key}=abc")["data"]
        assert row["id"] == made["id"]
        assert row["token"] == (made["token"] if profile == "exact" else made["prefix"])
        assert ada.call("GET", f"/v1/api/token_list?{key}=other")["data"] == []
        assert [entry["id"] for entry in listed(ada)] == [made["id"]]
        removal = {"tokens": [row["token"], "unknown"], "tenant_id": made["tenant_id"]}
        assert ada.call("POST", "/v1/api/rm", removal)["data"] is True
        assert listed(ada) == []

    def test_it_does_one_thing(self, ada: Web):
        token = bearer(ada.call("POST", "/v1/api/new_token", {"dialog_id": "abc"})["data"]["token"])
        assert token.call("GET", "/api/v1/datasets")["status"] == 403
        assert token.call("GET", "/v1/user/info")["status"] == 403
        principal = authentication.principal_of_header(token.authorization)
        assert (principal.scopes, principal.assistant_ids) == ({Scope.CHAT}, {"abc"})

    def test_neither_id(self, ada: Web, profile: str):
        made, found = ada.call("POST", "/v1/api/new_token", {}), ada.call("GET", "/v1/api/token_list")
        if profile == "exact":
            assert (made["code"], made["message"]) == (100, "KeyError('dialog_id')")
            assert (found["code"], found["message"]) == (100, "<BadRequestKeyError '400: Bad Request'>")
        else:
            assert (made["status"], found["status"]) == (400, 400)
        assert ada.call("POST", "/v1/api/new_token", {"dialog_id": 5})["code"] == 101

    def test_the_required_keys_of_removal_come_before_the_credentials(self, anonymous: Web, profile: str):
        answer = anonymous.call("POST", "/v1/api/rm", {"tenant_id": "x"})
        assert (answer["code"], answer["message"]) == (101, "required argument are missing: tokens; ")
        for web in (anonymous, bearer("x"), Web("x.y.z")):
            answer = web.call("POST", "/v1/api/rm", {"tokens": [], "tenant_id": "x"})
            assert (answer["status"], answer["message"]) == (401, UNAUTHORIZED)

    def test_another_tenants_id_removes_nothing(self, ada: Web, bob: Web):
        made = new_token(ada)
        for tenant_id in (ada.user.pk, bob.user.pk, None):
            body = {"tokens": [made["token"]], "tenant_id": tenant_id}
            assert bob.call("POST", "/v1/api/rm", body)["data"] is True
        assert len(listed(ada)) == 1
        assert ada.call("POST", "/v1/api/rm", {"tokens": "x", "tenant_id": ada.user.pk})["code"] == 101


class TestScopes:
    @pytest.mark.parametrize(
        ("method", "path", "scope"),
        [
            ("GET", "/api/v1/datasets", "read"),
            ("HEAD", "/api/v1/datasets/x/documents/y", "read"),
            ("POST", "/api/v1/datasets", "write"),
            ("DELETE", "/api/v1/datasets/x/documents", "write"),
            ("POST", "/api/v1/retrieval", "read"),
            ("POST", "/api/v1/dify/retrieval", "read"),
            ("POST", "/v1/kb/list", "read"),
            ("POST", "/v1/kb/create", "write"),
            ("GET", "/api/v1/chats", "read"),
            ("PUT", "/api/v1/chats/x", "write"),
            ("POST", "/api/v1/chats/x/completions", "chat"),
            ("GET", "/api/v1/chats/x/sessions", "chat"),
            ("DELETE", "/api/v1/chats/x/sessions", "chat"),
            ("POST", "/api/v1/chats_openai/x/chat/completions", "chat"),
            ("POST", "/api/v1/chats/x/completions/../../../datasets", "chat"),
            ("GET", "/v1/user/info", "read"),
            ("GET", "/v1/user/logout", "admin"),
            ("POST", "/v1/user/setting", "admin"),
            ("GET", "/v1/tenant/list", "read"),
            ("PUT", "/v1/tenant/agree/x", "admin"),
            ("GET", "/v1/system/version", "read"),
            ("GET", "/v1/system/token_list", "admin"),
            ("POST", "/v1/system/new_token", "admin"),
            ("DELETE", "/v1/system/token/x", "admin"),
            ("DELETE", "/v1/system/token/x\n", "admin"),
            ("GET", "/v1/api/token_list", "admin"),
            ("POST", "/v1/llm/set_api_key", "admin"),
            ("GET", "/v1/llm/my_llms", "read"),
            ("BREW", "/api/v1/datasets", "write"),
        ],
    )
    def test_what_a_request_needs(self, method: str, path: str, scope: str):
        assert needed_scope(method, path) == scope

    @pytest.mark.parametrize("path", ["/api//v1/datasets/", "/api/v1/datasets"])
    def test_a_request_beyond_them_is_refused(self, ada: Web, profile: str, path: str):
        token = bearer(new_token(ada, scopes=["read"])["token"])
        assert token.call("GET", path)["code"] == 0
        answer = token.call("POST", path, {"name": "x"})
        assert (answer["status"], answer["code"]) == (403, 108)
        assert "`write`" in answer["message"]
        assert token.call("GET", "/v1/system/token_list")["status"] == 403

    def test_nobody_gives_more_than_they_have(self, ada: Web, profile: str):
        strong = new_token(ada)
        weak = bearer(new_token(ada, scopes=["admin", "read"])["token"])
        assert new_token(weak)["scopes"] == ["admin", "read"]
        for answer in (
            weak.call("POST", "/v1/system/new_token", {"scopes": ["read", "write"]}),
            weak.call("POST", f"/v1/system/token/{strong['id']}/rotate"),
            weak.call("POST", "/v1/api/new_token", {"dialog_id": "abc"}),
        ):
            assert (answer["status"], answer["code"]) == (403, 108)
        assert strong["token"] not in str(listed(weak))

    def test_nobody_gives_longer_than_they_have(self, ada: Web, profile: str):
        eternal = new_token(ada)
        soon = timezone.now().replace(microsecond=0) + timedelta(hours=1)
        made = new_token(ada, expires_at=soon.isoformat())
        brief = bearer(made["token"])
        for body in ({}, {"expires_at": (soon - timedelta(minutes=1)).isoformat()}):
            token = APIToken.objects.get(pk=new_token(brief, **body)["id"])
            assert token.expires_at <= soon
            assert token.share_token.expires_at == token.expires_at
        bound = brief.call("POST", "/v1/api/new_token", {"dialog_id": "x"})["data"]
        assert APIToken.objects.get(pk=bound["id"]).expires_at == soon
        later = {"expires_at": (soon + timedelta(minutes=1)).isoformat()}
        assert brief.call("POST", "/v1/system/new_token", later)["code"] == 101
        assert brief.call("POST", f"/v1/system/token/{eternal['id']}/rotate")["code"] == 109
        assert eternal["token"] not in str(listed(brief))
        assert brief.call("POST", f"/v1/system/token/{made['id']}/rotate")["code"] == 0

    @pytest.mark.parametrize(
        "body",
        [
            {"scopes": []}, {"scopes": ["all"]}, {"scopes": "read"}, {"expires_at": "tomorrow"},
            {"expires_at": "2001-01-01T00:00:00Z"}, {"expires_at": "2099-01-01T00:00:00"}, {"requests_per_minute": 0},
            {"dataset_ids": "x"}, {"dataset_ids": [5]}, {"name": "x" * 101}, {"name": "\0"},
            {"dataset_ids": ["x"], "scopes": ["admin"]},
        ],
    )  # fmt: skip
    def test_bad_wishes(self, ada: Web, body: dict[str, object], profile: str):
        answer = ada.call("POST", "/v1/system/new_token", body)
        assert answer["code"] == 101
        assert not APIToken.objects.exists()

    def test_a_token_that_ends(self, ada: Web):
        soon = (timezone.now() + timedelta(hours=1)).isoformat()
        made = new_token(ada, expires_at=soon)
        assert bearer(made["token"]).call("GET", "/v1/user/info")["code"] == 0
        APIToken.objects.update(expires_at=timezone.now())
        ShareToken.objects.update(expires_at=timezone.now())
        assert bearer(made["token"]).call("GET", "/v1/user/info")["status"] == 401
        assert selectors.share_token_by_secret(made["beta"]) is None

    def test_a_token_narrowed_to_a_dataset(self, ada: Web, profile: str):
        everything = bearer(new_token(ada)["token"])
        first, second = (everything.call("POST", "/api/v1/datasets", {"name": name})["data"] for name in "ab")
        made = new_token(ada, dataset_ids=[first["id"]])
        assert made["scopes"] == ["chat", "read", "write"]
        narrow = bearer(made["token"])
        assert [row["id"] for row in narrow.call("GET", "/api/v1/datasets")["data"]] == [first["id"]]
        assert narrow.call("PUT", f"/api/v1/datasets/{first['id']}", {"name": "c"})["code"] == 0
        assert narrow.call("PUT", f"/api/v1/datasets/{second['id']}", {"name": "d"})["code"] != 0
        assert narrow.call("DELETE", "/api/v1/datasets", {"ids": None})["code"] == 0
        assert [row["id"] for row in everything.call("GET", "/api/v1/datasets")["data"]] == [second["id"]]


def test_a_token_makes_none_that_may_ask_more_often(ada: Web, profile: str):
    limited = bearer(new_token(ada, requests_per_minute=50)["token"])
    assert APIToken.objects.get(pk=new_token(limited)["id"]).requests_per_minute == 50
    assert APIToken.objects.get(pk=new_token(limited, requests_per_minute=20)["id"]).requests_per_minute == 20
    answer = limited.call("POST", "/v1/system/new_token", {"requests_per_minute": 51})
    assert answer["code"] == 101
    assert "requests_per_minute" in answer["message"]


class TestRotation:
    def rotate(self, web: Web, name: str, **body):
        return web.call("POST", f"/v1/system/token/{name}/rotate", body or None)

    def test_the_old_secret_works_for_a_while(self, ada: Web, profile: str):
        made = new_token(ada, scopes=["read"])
        rotated = self.rotate(ada, made["id"])["data"]
        assert (rotated["id"], rotated["scopes"]) == (made["id"], ["read"])
        assert rotated["token"] != made["token"]
        for token in (made["token"], rotated["token"]):
            assert bearer(token).call("GET", "/v1/user/info")["code"] == 0
        APIToken.objects.update(previous_valid_until=timezone.now())
        assert bearer(made["token"]).call("GET", "/v1/user/info")["status"] == 401
        assert bearer(rotated["token"]).call("GET", "/v1/user/info")["code"] == 0

    def test_the_old_secret_cannot_make_itself_last(self, ada: Web, profile: str):
        made = new_token(ada)
        self.rotate(ada, made["id"])
        old = bearer(made["token"])
        ends = APIToken.objects.get().previous_valid_until
        assert APIToken.objects.get(pk=new_token(old)["id"]).expires_at == ends
        assert self.rotate(old, made["id"])["code"] == 109

    def test_a_secret_is_replaced_once(self, ada: Web, profile: str):
        made = new_token(ada)
        rotated = self.rotate(ada, made["token"])["data"]
        assert self.rotate(ada, made["token"])["code"] == 102
        for token in (made["token"], rotated["token"]):
            assert bearer(token).call("GET", "/v1/user/info")["code"] == 0

    @pytest.mark.parametrize("meanwhile", ["rotate", "revoke"])
    def test_two_at_the_same_moment(self, ada: Web, meanwhile: str):
        made = new_token(ada)
        seen = APIToken.objects.get()
        if meanwhile == "rotate":
            self.rotate(ada, made["id"])
        else:
            services.revoke_token(token=seen)
        before = APIToken.objects.values().get()
        with patch.object(tokens, "_only_token", return_value=seen):
            assert self.rotate(ada, made["id"])["status"] == 409
        assert APIToken.objects.values().get() == before

    def test_without_overlap(self, ada: Web):
        made = new_token(ada)
        self.rotate(ada, made["prefix"], overlap_seconds=0)
        assert bearer(made["token"]).call("GET", "/v1/user/info")["status"] == 401

    def test_deleting_ends_both_secrets(self, ada: Web):
        made = new_token(ada)
        rotated = self.rotate(ada, made["id"])["data"]
        ada.call("DELETE", f"/v1/system/token/{made['token']}")
        for token in (made["token"], rotated["token"]):
            assert bearer(token).call("GET", "/v1/user/info")["status"] == 401

    def test_mistakes(self, ada: Web):
        made = new_token(ada)
        assert self.rotate(ada, "unknown")["status"] == 404
        for overlap in (-1, 10**9, "x"):
            assert self.rotate(ada, made["id"], overlap_seconds=overlap)["code"] == 101


class TestShareTokens:
    def test_they_may_chat_and_nothing_else(self, ada: Web, profile: str):
        made = new_token(ada)
        principal = authentication.principal_of_share_header(f"Bearer {made['beta']}")
        assert (principal.tenant_id, principal.scopes) == (ada.user.pk, {Scope.CHAT})
        with pytest.raises(InvalidAPIKey):
            authentication.principal_of_header(f"Bearer {made['beta']}")
        assert bearer(made["beta"]).call("GET", "/v1/user/info")["message"] == UNAUTHORIZED
        assert bearer(made["beta"]).call("GET", "/api/v1/datasets")["code"] == 109
        with pytest.raises(ShareTokenInvalid):
            authentication.principal_of_share_header(f"Bearer {made['token']}")

    def test_they_have_the_limits_of_the_token_they_came_with(self, ada: Web):
        made = new_token(ada, dataset_ids=["a" * 32], assistant_ids=[], requests_per_minute=1)
        header = f"Bearer {made['beta']}"
        principal = authentication.principal_of_share_header(header)
        assert (principal.dataset_ids, principal.assistant_ids) == (frozenset({"a" * 32}), frozenset())
        with pytest.raises(TooManyRequests):
            authentication.principal_of_share_header(header)
        with pytest.raises(LacksScope):
            authentication.principal_of_share_header(f"Bearer {new_token(ada, scopes=['read'])['beta']}")

    @pytest.mark.parametrize("header", [None, "", " "])
    def test_missing_headers(self, db, header: str | None):
        with pytest.raises(ShareTokenMissing):
            authentication.principal_of_share_header(header)

    @pytest.mark.parametrize("header", ["Bearer", "Bearer a b"])
    def test_malformed_headers(self, db, header: str | None):
        with pytest.raises(ShareTokenInvalid) as caught:
            authentication.principal_of_share_header(header)
        assert caught.value.reference == 'Authorization is not valid!"'

    def test_they_end_with_the_token_they_came_with(self, ada: Web):
        """An operator may let a token end sooner than it was issued for."""
        secret = new_token(ada)["beta"]
        APIToken.objects.update(expires_at=timezone.now())
        with pytest.raises(ShareTokenInvalid):
            authentication.principal_of_share_header(f"Bearer {secret}")

    def test_revoked_ones_and_those_of_disabled_owners(self, ada: Web):
        issued = create_share_token(tenant=Tenant.objects.get())
        ada.user.is_active = False
        ada.user.save()
        assert selectors.share_token_by_secret(issued.secret) is None
        ada.user.is_active = True
        ada.user.save()
        assert selectors.share_token_by_secret(issued.secret) is not None
        revoke_share_token(token=issued.token)
        assert selectors.share_token_by_secret(issued.secret) is None
