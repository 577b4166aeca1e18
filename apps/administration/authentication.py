"""Who may use the admin API: people who logged in, with a session token in the header or the login's cookie."""

from __future__ import annotations

from typing import cast

from django.http import HttpRequest
from rest_framework.authentication import BaseAuthentication
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from apps.accounts import session_tokens
from apps.accounts.audit import acts_as_user
from apps.accounts.models import User
from apps.accounts.selectors import user_with_login
from apps.administration.errors import NotLoggedIn
from apps.administration.services import require_administrator

COOKIE = "ragflow_admin"
PATH = "/api/v1/admin"


class AdminSession(BaseAuthentication):
    """The session tokens of the web API; API tokens are refused.

    The cookie, which browsers send on their own, is only good for reading, so a page elsewhere cannot change anything.
    """

    def authenticate(self, request: Request) -> tuple[User, None]:
        http_request = request._request  # noqa: SLF001
        user = _user_of(_token(http_request))
        if user is None:
            raise NotLoggedIn
        acts_as_user(user)
        return user, None


class IsAdministrator(BasePermission):
    def has_permission(self, request: Request, view: object) -> bool:
        require_administrator(cast("User", request.user))
        return True


def _token(request: HttpRequest) -> str:
    header = str(request.META.get("HTTP_AUTHORIZATION", ""))
    if header or request.method not in {"GET", "HEAD"}:
        return header
    return request.COOKIES.get(COOKIE, "")


def _user_of(token: str) -> User | None:
    try:
        key = session_tokens.key_of(token)
    except session_tokens.NoSessionToken:
        return None
    return user_with_login(key) if key else None
