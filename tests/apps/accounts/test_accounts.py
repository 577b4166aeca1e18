"""Accounts, tokens, and who a request runs as."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client, override_settings
from django.utils import timezone

from apps.accounts import authentication, selectors, services
from apps.accounts.models import APIToken, Membership, Tenant, User
from apps.core.crypto import decrypt
from apps.core.errors import AuthorizationMalformed, AuthorizationMissing, Conflict, InvalidAPIKey, InvalidArgument
from apps.core.principal import Principal, Scope

pytestmark = pytest.mark.django_db


@pytest.fixture
def user() -> User:
    return services.create_account(email="ada@example.org", nickname="Ada")


@pytest.fixture
def owned(user: User) -> Tenant:
    return Tenant.objects.get(pk=user.pk)


def test_an_account_owns_a_tenant_of_the_same_id(user: User, owned: Tenant):
    assert Membership.objects.get(user=user, tenant=owned).role == Membership.Role.OWNER
    assert not user.has_usable_password()


def test_addresses_are_taken_in_any_case(user: User):
    with pytest.raises(Conflict, match=r"ADA@example\.org has already registered"):
        services.create_account(email="ADA@example.org")
    assert User.objects.count() == 1


@pytest.mark.parametrize("email", ["", "ada", "ada@", "a b@example.org", "x\0@example.org"])
def test_malformed_addresses_are_refused(email: str):
    with pytest.raises(InvalidArgument, match="Invalid email address"):
        services.create_account(email=email)


def test_a_token_is_kept_as_a_hash_only(owned: Tenant):
    issued = services.create_token(tenant=owned, name="ci")
    assert len(issued.secret) == 51
    assert issued.secret.startswith("ragflow-")
    row = APIToken.objects.values().get()
    assert issued.secret not in str(row)
    assert row["encrypted_secret"] == ""
    assert issued.secret.startswith(row["prefix"])


@override_settings(WIRE_PROFILE="exact")
def test_the_exact_profile_keeps_an_encrypted_copy_until_revocation(owned: Tenant):
    issued = services.create_token(tenant=owned)
    assert decrypt(issued.token.encrypted_secret) == issued.secret
    services.revoke_token(token=issued.token)
    issued.token.refresh_from_db()
    assert issued.token.encrypted_secret == ""


def test_a_bearer_header_names_the_tenant(owned: Tenant):
    issued = services.create_token(tenant=owned)
    principal = authentication.principal_of_header(f"Bearer {issued.secret}")
    assert principal == Principal(owned.pk, owned.pk, issued.token.pk)
    assert authentication.principal_of_header(f"anything   {issued.secret}  more") == principal


@pytest.mark.parametrize(
    ("header", "error"),
    [
        (None, AuthorizationMissing),
        ("", AuthorizationMissing),
        ("   ", AuthorizationMissing),
        ("Bearer", AuthorizationMalformed),
        ("Bearer None", InvalidAPIKey),
        ("Bearer ragflow-\0", InvalidAPIKey),
        ("Bearer " + "x" * 10_000, InvalidAPIKey),
        ("Bearer \udcff\udcfe", InvalidAPIKey),
    ],
)
def test_other_headers_are_refused(header: str | None, error: type[Exception]):
    with pytest.raises(error):
        authentication.principal_of_header(header)


def test_expired_revoked_and_orphaned_tokens_are_refused(user: User, owned: Tenant):
    expired = services.create_token(tenant=owned, expires_at=timezone.now() - timedelta(seconds=1))
    revoked = services.create_token(tenant=owned)
    services.revoke_token(token=revoked.token)
    orphaned = services.create_token(tenant=owned)
    assert selectors.token_by_secret(orphaned.secret) is not None
    User.objects.filter(pk=user.pk).update(is_active=False)
    for issued in (expired, revoked, orphaned):
        with pytest.raises(InvalidAPIKey):
            authentication.principal_of_header(f"Bearer {issued.secret}")


def test_use_is_noted_once_a_minute(owned: Tenant, django_assert_num_queries):
    issued = services.create_token(tenant=owned)
    authentication.principal_of_header(f"Bearer {issued.secret}")
    noted = APIToken.objects.get().last_used_at
    assert noted is not None
    with django_assert_num_queries(1):  # the look-up, and no write
        authentication.principal_of_header(f"Bearer {issued.secret}")
    assert APIToken.objects.get().last_used_at == noted


def test_an_invitation_is_no_membership_yet(user: User, owned: Tenant):
    guest = services.create_account(email="guest@example.org")
    principal = authentication.principal_of_user(guest)
    membership = Membership.objects.create(tenant=owned, user=guest, is_pending=True)
    assert set(selectors.joined_tenant_ids(principal)) == {guest.pk}
    membership.is_pending = False
    membership.save()
    assert set(selectors.joined_tenant_ids(principal)) == {guest.pk, owned.pk}


@pytest.fixture
def operator() -> Client:
    services.create_account(email="root@example.org", password="correct horse", is_operator=True)
    client = Client()
    assert client.login(username="root@example.org", password="correct horse")
    return client


def test_the_admin_issues_a_token_and_shows_it_once(operator: Client, owned: Tenant):
    page = operator.post(
        "/admin/accounts/apitoken/add/",
        {"tenant": owned.pk, "name": "laptop", "scopes": ["read", "chat"], "dataset_ids": "a\nb", "_save": "Save"},
        follow=True,
    )
    shown = page.content.decode().partition("<code>")[2].partition("</code>")[0]
    principal = authentication.principal_of_header(f"Bearer {shown}")
    assert principal.tenant_id == owned.pk
    assert principal.scopes == {Scope.READ, Scope.CHAT}
    assert principal.dataset_ids == {"a", "b"}
    again = operator.get("/admin/accounts/apitoken/")
    assert shown not in again.content.decode()


def test_the_admin_revokes_tokens(operator: Client, owned: Tenant):
    issued = services.create_token(tenant=owned)
    chosen = {"action": "revoke", "_selected_action": [issued.token.pk]}
    assert "Revoke tokens?" in operator.post("/admin/accounts/apitoken/", chosen).content.decode()
    assert selectors.token_by_secret(issued.secret) is not None
    operator.post("/admin/accounts/apitoken/", chosen | {"post": "yes"})
    assert selectors.token_by_secret(issued.secret) is None


def test_a_user_made_in_the_admin_owns_a_tenant(operator: Client):
    operator.post(
        "/admin/accounts/user/add/",
        {
            "email": "new@example.org",
            "nickname": "New",
            "usable_password": "true",
            "password1": "a-long-pass-phrase-1",
            "password2": "a-long-pass-phrase-1",
        },
    )
    created = User.objects.get(email="new@example.org")
    assert Tenant.objects.filter(pk=created.pk).exists()


@pytest.mark.parametrize("page", ["user", "tenant", "apitoken"])
def test_admin_pages_render(operator: Client, owned: Tenant, page: str):
    services.create_token(tenant=owned, name="ci")
    row = {"user": owned.pk, "tenant": owned.pk}.get(page) or APIToken.objects.get().pk
    assert operator.get(f"/admin/accounts/{page}/").status_code == 200
    assert operator.get(f"/admin/accounts/{page}/{row}/change/").status_code == 200
