"""API keys of a user at the admin API, under both spellings of their paths."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.accounts.models import Tenant
from apps.accounts.services import create_token
from tests.apps.accounts.conftest import Web
from tests.apps.administration.conftest import outcome

ADA = "users/ada@example.org"


@pytest.fixture(params=[("keys", "keys", "keys/{}"), ("new_token", "token_list", "token/{}")], ids=["keys", "tokens"])
def paths(request: pytest.FixtureRequest) -> tuple[str, str, str]:
    """How creating, listing and deleting are spelled."""
    return request.param


def works(key: str) -> bool:
    return Web(f"Bearer {key}").call("GET", "/api/v1/datasets")["code"] == 0


def test_a_new_key(ask, ada: Web, paths, profile: str):
    answer = ask("POST", f"{ADA}/{paths[0]}")
    assert (answer["status"], answer["code"], answer["message"]) == (200, 0, "API key generated successfully")
    data = answer["data"]
    assert set(data) == {"tenant_id", "token", "beta", "create_time", "create_date", "update_time", "update_date"}
    assert data["tenant_id"] == ada.user.pk
    assert len(data["token"]) == 51
    assert data["token"].startswith("ragflow-")
    assert len(data["beta"]) == 32
    assert data["beta"] != data["token"][8:40]
    assert data["create_time"] > 10**12
    assert data["update_time"] is data["update_date"] is None
    assert works(data["token"])
    assert ask("POST", f"{ADA}/{paths[0]}")["data"]["token"] != data["token"]


def test_neither_body_nor_content_type_is_needed(ask, root: Web, ada: Web):
    answer = root.send("POST", f"/api/v1/admin/{ADA}/keys", b"", content_type="").json()
    assert answer["code"] == 0


def test_the_list_in_standard(ask, ada: Web, paths):
    made = ask("POST", f"{ADA}/{paths[0]}")["data"]
    answer = ask("GET", f"{ADA}/{paths[1]}")
    assert (answer["code"], answer["message"]) == (0, "Get user API keys")
    (listed,) = answer["data"]
    assert listed["token"] == made["token"][:13]
    assert made["token"] not in str(answer)
    assert made["beta"] not in str(answer)
    assert listed["id"]
    assert listed["tenant_id"] == ada.user.pk


def test_the_list_in_exact(ask, ada: Web, paths, settings):
    settings.WIRE_PROFILE = "exact"
    made = [ask("POST", f"{ADA}/{paths[0]}")["data"] for _ in range(3)]
    own = ada.call("POST", "/v1/system/new_token")["data"]["token"]
    bound = ada.call("POST", "/v1/api/new_token", {"dialog_id": "chat"})["data"]["token"]
    listed = ask("GET", f"{ADA}/{paths[1]}")["data"]
    assert {row["token"] for row in listed} == {own, bound, *(row["token"] for row in made)}
    assert {row["tenant_id"] for row in listed} == {ada.user.pk}
    assert all(len(row["beta"]) == 32 for row in listed)
    assert {row["token"]: row["beta"] for row in listed}.items() >= {row["token"]: row["beta"] for row in made}.items()
    assert {row["dialog_id"] for row in listed} == {None, "chat"}
    for row in listed:
        assert {"source", "create_time", "create_date", "update_time", "update_date"} <= set(row)


def test_deletion_by_text(ask, ada: Web, paths, profile: str):
    kept, gone = (ask("POST", f"{ADA}/{paths[0]}")["data"]["token"] for _ in range(2))
    path = f"{ADA}/{paths[2].format(quote(gone))}"
    answer = ask("DELETE", path)
    assert (answer["code"], answer["message"], answer["data"]) == (0, "API key deleted successfully", None)
    assert not works(gone)
    assert works(kept)
    assert len(ask("GET", f"{ADA}/{paths[1]}")["data"]) == 1
    assert outcome(ask("DELETE", path)) == (400, 404, "API key not found or could not be deleted")


def test_deletion_by_id(ask, ada: Web):
    key = ask("POST", f"{ADA}/keys")["data"]["token"]
    (listed,) = ask("GET", f"{ADA}/keys")["data"]
    assert ask("DELETE", f"{ADA}/keys/{listed['id']}")["code"] == 0
    assert not works(key)


def test_refusals(ask, root: Web, ada: Web, paths, profile: str):
    for name in ("nobody@example.org", "no address", "%00"):
        shown = name.replace("%00", "\0")
        who = f"users/{name}"
        assert outcome(ask("POST", f"{who}/{paths[0]}")) == (400, 404, "User not found!")
        assert outcome(ask("GET", f"{who}/{paths[1]}")) == (400, 404, f"User '{shown}' not found")
        assert outcome(ask("DELETE", f"{who}/{paths[2].format('x')}")) == (400, 404, f"User '{shown}' not found")
    foreign = create_token(tenant=Tenant.objects.get(pk=root.user.pk)).secret
    for key in ("unknown", "%00", "un%2Fknown", foreign):
        answer = ask("DELETE", f"{ADA}/{paths[2].format(key)}")
        assert outcome(answer) == (400, 404, "API key not found or could not be deleted")
    assert works(foreign)
    Tenant.objects.filter(pk=ada.user.pk).delete()
    assert outcome(ask("POST", f"{ADA}/{paths[0]}")) == (400, 404, "Tenant not found!")
    assert ask("GET", f"{ADA}/{paths[1]}")["data"] == []


def test_the_number_of_queries(ask, ada: Web, profile: str):
    for _ in range(3):
        ask("POST", f"{ADA}/keys")
    with CaptureQueriesContext(connection) as queries:
        ask("GET", f"{ADA}/keys")
    assert len(queries) == (4 if profile == "exact" else 3)  # the login, the user, the keys (twice where betas are due)
