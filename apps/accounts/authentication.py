"""From the credentials of a request to the principal it runs as, for both halves of the server.

`principal_of_request` serves the public API (API tokens only), `principal_of_login_or_key` the web API and whatever
else takes both, `principal_of_share_request` what web pages embed. They are also the one place where a token's scopes
and its rate are enforced.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from rest_framework.authentication import BaseAuthentication, SessionAuthentication
from rest_framework.request import Request

from apps.accounts import selectors, services, session_tokens, throttles
from apps.accounts.audit import acts_as_token, acts_as_user
from apps.accounts.errors import ShareTokenInvalid, ShareTokenMissing
from apps.accounts.models import APIToken, User
from apps.accounts.scopes import require_scope
from apps.core.errors import AuthorizationMalformed, AuthorizationMissing, InvalidAPIKey, LacksScope, Unauthorized
from apps.core.principal import Principal, Scope


def principal_of_header(header: str | None) -> Principal:
    """Return the principal of an `Authorization: Bearer <API token>` header. Any scheme word is accepted.

    Raises AuthorizationMissing, AuthorizationMalformed, InvalidAPIKey, and TooManyRequests for a token with a limit.
    """
    if settings.API_TOKENS_CLOSED or not header or not header.strip():
        raise AuthorizationMissing
    words = header.split()
    if len(words) < 2:
        raise AuthorizationMalformed
    token = selectors.token_by_secret(words[1])
    if token is None:
        raise InvalidAPIKey
    return _use(token)


def principal_of_request(request: HttpRequest) -> Principal:
    """The same for a whole request, which the token's scopes must allow. Raises LacksScope too."""
    return _admitted(principal_of_header(_header(request)), request)


def principal_of_login_or_key(request: HttpRequest) -> Principal:
    """Return the principal of `Authorization: <session token>` or `Authorization: Bearer <API token>`.

    Raises Unauthorized, whatever is wrong with the credentials; LacksScope and TooManyRequests for a good API token.
    """
    header = _header(request)
    try:
        key = session_tokens.key_of(header)
    except session_tokens.NoSessionToken:
        return _admitted(_principal_of_key(header), request)
    user = selectors.user_by_session(key) if key else None
    if user is None:
        raise Unauthorized
    acts_as_user(user)
    return principal_of_user(user)


def principal_of_share_header(header: str | None) -> Principal:
    """Return the principal of `Authorization: Bearer <share token>`, which may only chat.

    It reaches no more than the API token it was issued with. Raises ShareTokenMissing, ShareTokenInvalid, LacksScope
    and TooManyRequests.
    """
    if not header or not header.strip():
        raise ShareTokenMissing
    words = header.split()
    if len(words) != 2:
        raise ShareTokenInvalid("Authorization is not valid!")
    token = selectors.share_token_by_secret(words[1])
    if token is None:
        raise ShareTokenInvalid
    principal = Principal(token.tenant_id, token.tenant_id, token.pk, scopes=frozenset({Scope.CHAT}))
    if token.api_token is not None:
        principal = _within(principal, token.api_token)
    services.note_use(token=token)
    acts_as_token(token)
    return principal


def principal_of_share_request(request: HttpRequest) -> Principal:
    """The same for a whole request."""
    return principal_of_share_header(_header(request))


def _within(principal: Principal, token: APIToken) -> Principal:
    """Return the principal with the limits of an API token."""
    if Scope.CHAT not in token.scopes:
        raise LacksScope(Scope.CHAT)
    if token.requests_per_minute is not None:
        throttles.hit(throttles.requests_of_token(token.requests_per_minute), token.pk)
    return replace(principal, dataset_ids=_ids(token.dataset_ids), assistant_ids=_ids(token.assistant_ids))


def principal_of_user(user: User) -> Principal:
    return Principal(tenant_id=user.pk, user_id=user.pk)


def _header(request: HttpRequest) -> str:
    return str(request.META.get("HTTP_AUTHORIZATION", ""))


def _principal_of_key(header: str) -> Principal:
    words = header.split()
    token = selectors.token_by_secret(words[1]) if len(words) == 2 else None
    if token is None:
        raise Unauthorized
    return _use(token)


def _use(token: APIToken) -> Principal:
    if token.requests_per_minute is not None:
        throttles.hit(throttles.requests_of_token(token.requests_per_minute), token.pk)
    services.note_use(token=token)
    acts_as_token(token)
    return Principal(
        tenant_id=token.tenant_id,
        user_id=token.created_by_id or token.tenant_id,
        token_id=token.pk,
        scopes=frozenset(Scope(scope) for scope in token.scopes),
        dataset_ids=_ids(token.dataset_ids),
        assistant_ids=_ids(token.assistant_ids),
        expires_at=token.expires_at,
        requests_per_minute=token.requests_per_minute,
    )


def _ids(stored: list[str] | None) -> frozenset[str] | None:
    return None if stored is None else frozenset(stored)


def _admitted(principal: Principal, request: HttpRequest) -> Principal:
    require_scope(principal, request.method or "", request.path_info)
    return principal


class APITokenAuthentication(BaseAuthentication):
    """Clients: a token in the `Authorization` header. No cookie is looked at, so no CSRF token is needed."""

    def authenticate(self, request: Request) -> tuple[Principal, None] | None:
        http_request = request._request  # noqa: SLF001 -- the same function serves the half without DRF
        return (principal_of_request(http_request), None) if _header(http_request) else None

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"


class ShareTokenAuthentication(BaseAuthentication):
    """Web pages that embed a chat or a search."""

    def authenticate(self, request: Request) -> tuple[Principal, None]:
        return principal_of_share_request(request._request), None  # noqa: SLF001

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"


class BrowserSessionAuthentication(SessionAuthentication):
    """People in the browsable API: a Django session, with CSRF protection."""

    def authenticate(self, request: Request) -> tuple[Any, None] | None:
        found = super().authenticate(request)
        if found is None:
            return None
        acts_as_user(found[0])
        return principal_of_user(found[0]), None


class HeaderAuthentication(BaseAuthentication):
    """What the `Authorization` header says alone, for what changes something by GET.

    Browsers send cookies along with a GET to which a page of anybody's leads them, and Django asks for no CSRF token.
    """

    def authenticate(self, request: Request) -> tuple[Any, None]:
        return principal_of_login_or_key(request._request), None  # noqa: SLF001


class LoginOrKeyAuthentication(HeaderAuthentication):
    """The web API: what the `Authorization` header says, or without one a person's Django session."""

    def authenticate(self, request: Request) -> tuple[Any, None]:
        if _header(request._request):  # noqa: SLF001
            return super().authenticate(request)
        found = BrowserSessionAuthentication().authenticate(request)
        if found is None:
            raise Unauthorized
        return found
