"""Somebody registers the address of another and waits for the owner to come: the owner gets the account alone."""

from __future__ import annotations

import importlib
from typing import Any
from unittest.mock import patch

import pytest
from django.apps import apps

from apps.accounts.errors import WrongCredentials
from apps.accounts.models import AuditEntry, LangfuseKeys, Membership, Tenant, TenantModel, User
from apps.accounts.services import accounts, sessions
from apps.accounts.services.sessions import log_in as log_in_by_password
from apps.accounts.services.tokens import create_share_token
from apps.core.crypto import encrypt
from tests.apps.accounts.conftest import PASSWORD, Web, encrypted, join
from tests.apps.accounts.test_external_logins import KINDS, log_in, provider, use
from tests.apps.accounts.test_recovery import mailed_code, reset, verify
from tests.tools.identity_provider import IdentityProvider

__all__ = ["provider", "use"]

EMAIL = "eve@example.org"  # whom the provider knows


@pytest.fixture
def squatter(anonymous: Web, settings: Any) -> Web:
    """Whoever registered the address first, with everything that such a person may prepare."""
    settings.REGISTRATION_OPEN = True
    body = {"email": EMAIL, "nickname": "Eve", "password": encrypted(PASSWORD)}
    answer = anonymous.call("POST", "/v1/user/register", body)
    assert answer["code"] == 0
    return Web(answer["headers"]["Authorization"], User.objects.get(email=EMAIL))


def ways_in(squatter: Web) -> list[Web]:
    """Return the clients that the first holder has kept."""
    issued = squatter.call("POST", "/v1/system/new_token")["data"]
    bound = squatter.call("POST", "/v1/api/new_token", {"dialog_id": "0" * 32})["data"]
    assert Web(f"Bearer {issued['token']}").call("GET", "/v1/user/info")["code"] == 0
    return [squatter, Web(f"Bearer {issued['token']}"), Web(f"Bearer {bound['token']}")]


def is_shut_out(squatter: Web, kept: list[Web]) -> bool:
    body = {"email": EMAIL, "password": encrypted(PASSWORD)}
    refused = Web().call("POST", "/v1/user/login", body)
    return refused["code"] == 109 and all(web.call("GET", "/v1/user/info")["status"] == 401 for web in kept)


@pytest.mark.parametrize("kind", KINDS)
def test_the_owner_of_the_address_comes_through_a_provider(
    squatter: Web, ada: Web, bob: Web, anonymous: Web, provider: IdentityProvider, use: Any, kind: str
):
    use(kind, **({"email_verified": True} if kind == "oauth2" else {}))
    kept = ways_in(squatter)
    tenant = Tenant.objects.get(pk=squatter.user.pk)
    shared = create_share_token(tenant=tenant).token
    TenantModel.objects.create(
        tenant=tenant,
        provider="VLLM",
        name="x",
        type="chat",
        base_url="https://reads.along",
        encrypted_key=encrypt("k"),
    )
    LangfuseKeys.objects.create(tenant=tenant, host="https://reads.along", public_key="p", encrypted_secret_key="s")
    join(squatter, bob)  # an accomplice in the owner's tenant
    join(ada, squatter)  # and the owner's account in somebody else's
    joined = Membership.objects.filter(user=squatter.user).exclude(tenant=tenant)

    owner = Web(log_in(anonymous, provider)["auth"])

    assert owner.call("GET", "/v1/user/info")["data"]["id"] == squatter.user.pk
    assert is_shut_out(squatter, kept)
    user = User.objects.get(email=EMAIL)
    assert (user.is_email_proven, user.has_usable_password()) == (True, False)
    shared.refresh_from_db()
    assert not shared.is_usable
    assert not TenantModel.objects.filter(tenant=tenant).exists()
    assert [member.user_id for member in Membership.objects.filter(tenant=tenant)] == [user.pk]
    assert joined.get().is_pending
    entry = AuditEntry.objects.get(action="take over")
    assert (entry.object_id, entry.tenant_id, entry.detail) == (
        user.pk,
        user.pk,
        {
            "by": "login through corp",
            "tokens": 3,
            "members": 1,
            "models": 1,
            "Langfuse keys": 1,
            "invitations to accept again": 1,
        },
    )


def test_once_it_is_proven_nothing_is_taken_any_more(
    squatter: Web, anonymous: Web, provider: IdentityProvider, use: Any
):
    owner = Web(log_in(anonymous, provider)["auth"])
    token = Web(f"Bearer {owner.call('POST', '/v1/system/new_token')['data']['token']}")
    log_in(anonymous, provider)
    assert token.call("GET", "/v1/user/info")["code"] == 0
    assert AuditEntry.objects.filter(action="take over").count() == 1


def test_an_account_that_an_administrator_made_is_only_opened(
    ada: Web, anonymous: Web, provider: IdentityProvider, use: Any
):
    provider.claims |= {"email": "ada@example.org"}
    token = Web(f"Bearer {ada.call('POST', '/v1/system/new_token')['data']['token']}")
    assert "auth" in log_in(anonymous, provider)
    assert token.call("GET", "/v1/user/info")["code"] == 0
    assert (
        Web().call("POST", "/v1/user/login", {"email": "ada@example.org", "password": encrypted(PASSWORD)})["code"] == 0
    )


def test_an_address_that_the_provider_did_not_verify_takes_nothing(
    squatter: Web, anonymous: Web, provider: IdentityProvider, use: Any
):
    provider.claims |= {"email_verified": False}
    assert log_in(anonymous, provider) == {"error": "email_not_verified"}
    assert squatter.call("GET", "/v1/user/info")["code"] == 0
    assert not User.objects.get(email=EMAIL).is_email_proven


def test_an_address_that_is_taken_while_its_owner_comes(
    anonymous: Web, provider: IdentityProvider, use: Any, request: pytest.FixtureRequest
):
    """The account appears between the look for it and its creation."""
    found: list[Web] = []

    def picture_at(_url: str) -> None:
        squatter = request.getfixturevalue("squatter")
        found.extend(ways_in(squatter))

    with patch("apps.accounts.identity.providers.picture_at", picture_at):
        owner = Web(log_in(anonymous, provider)["auth"])
    assert owner.call("GET", "/v1/user/info")["code"] == 0
    assert is_shut_out(found[0], found)


def test_the_owner_of_the_address_comes_with_a_mailed_code(squatter: Web, anonymous: Web):
    kept = ways_in(squatter)
    assert verify(anonymous, mailed_code(anonymous, EMAIL), EMAIL)["code"] == 0
    answer = reset(anonymous, EMAIL)
    assert answer["code"] == 0
    assert Web(answer["headers"]["Authorization"]).call("GET", "/v1/user/info")["code"] == 0
    assert is_shut_out(squatter, kept)
    assert Web().call("POST", "/v1/user/login", {"email": EMAIL, "password": encrypted("new one")})["code"] == 0
    assert User.objects.get(email=EMAIL).is_email_proven


def test_a_password_that_is_being_checked_while_the_account_changes_hands(
    squatter: Web, anonymous: Web, provider: IdentityProvider, use: Any
):
    """Checking a password takes a while. What was right when that began must not open a session after it."""
    told: dict[str, str] = {}

    def late(*, user: User) -> sessions.StartedSession:
        told.update(log_in(anonymous, provider))
        return start(user=user)

    start = sessions.start_session
    with patch.object(sessions, "start_session", late), pytest.raises(WrongCredentials):
        log_in_by_password(email=EMAIL, password=encrypted(PASSWORD), address="127.0.0.1")
    assert Web(told["auth"]).call("GET", "/v1/user/info")["code"] == 0


def test_a_password_that_is_being_changed_while_the_account_changes_hands(
    squatter: Web, anonymous: Web, provider: IdentityProvider, use: Any
):
    def late(**given: Any) -> None:
        log_in(anonymous, provider)
        store(**given)

    store = accounts.set_password
    body = {"password": encrypted(PASSWORD), "new_password": encrypted("mine for good")}
    with patch("apps.accounts.views.profile.set_password", late):
        assert squatter.call("POST", "/v1/user/setting", body)["code"] == 109
    assert not User.objects.get(email=EMAIL).has_usable_password()


def test_accounts_from_before_the_rule(squatter: Web, ada: Web):
    """Only the audit log knows then whom an administrator made."""
    User.objects.update(is_email_proven=False)
    migration = importlib.import_module("apps.accounts.migrations.0005_email_proven")
    migration.vouch(apps, None)
    assert dict(User.objects.values_list("email", "is_email_proven")) == {EMAIL: False, "ada@example.org": True}
    User.objects.update(login_channel="corp")
    migration.vouch(apps, None)
    assert User.objects.get(email=EMAIL).is_email_proven
