"""What all views of the admin API share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from rest_framework.request import Request

from apps.accounts.models import User
from apps.administration import selectors
from apps.administration.answers import exception_handler
from apps.administration.authentication import AdminSession, IsAdministrator
from apps.administration.errors import UserNotFound
from apps.core.rest import ResourceViewSet


class AdminViewSet(ResourceViewSet):
    """For administrators who have logged in."""

    authentication_classes: Any = (AdminSession,)
    permission_classes: Any = (IsAdministrator,)

    def get_exception_handler(self) -> Callable[..., Any]:
        return exception_handler


class OpenAdminViewSet(AdminViewSet):
    """Takes no credentials, and looks at none."""

    authentication_classes = ()
    permission_classes = ()


def administrator(request: Request) -> User:
    """Return who makes the request."""
    return cast("User", request.user)


def user_named(username: str) -> User:
    """Raises UserNotFound."""
    user = selectors.user_named(username)
    if user is None:
        raise UserNotFound(username)
    return user
