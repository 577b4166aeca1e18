"""From the credentials of a request to the principal it runs as, for both halves of the server."""

from __future__ import annotations

from typing import Any

from rest_framework.authentication import BaseAuthentication, SessionAuthentication
from rest_framework.request import Request

from apps.accounts import selectors, services
from apps.accounts.models import User
from apps.core.errors import AuthorizationMalformed, AuthorizationMissing, InvalidAPIKey
from apps.core.principal import Principal


def principal_of_header(header: str | None) -> Principal:
    """Return the principal of an `Authorization: Bearer <API token>` header. Any scheme word is accepted.

    Raises AuthorizationMissing, AuthorizationMalformed or InvalidAPIKey.
    """
    if not header or not header.strip():
        raise AuthorizationMissing
    words = header.split()
    if len(words) < 2:
        raise AuthorizationMalformed
    token = selectors.token_by_secret(words[1])
    if token is None:
        raise InvalidAPIKey
    services.note_use(token=token)
    return Principal(tenant_id=token.tenant_id, user_id=token.created_by_id or token.tenant_id, token_id=token.pk)


def principal_of_user(user: User) -> Principal:
    return Principal(tenant_id=user.pk, user_id=user.pk)


class APITokenAuthentication(BaseAuthentication):
    """Clients: a token in the `Authorization` header. No cookie is looked at, so no CSRF token is needed."""

    def authenticate(self, request: Request) -> tuple[Principal, None] | None:
        header = request.META.get("HTTP_AUTHORIZATION")
        return (principal_of_header(header), None) if header else None

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"


class BrowserSessionAuthentication(SessionAuthentication):
    """People in the browsable API: a Django session, with CSRF protection."""

    def authenticate(self, request: Request) -> tuple[Any, None] | None:
        found = super().authenticate(request)
        return (principal_of_user(found[0]), None) if found else None
