"""How people log in to the admin pages and the browsable API."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.backends import ModelBackend
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest

from apps.accounts import throttles
from apps.accounts.models import User
from apps.accounts.services.sessions import note_refused_login
from apps.core.errors import TooManyRequests
from apps.core.http import client_address


class _NoMatch(Exception):
    pass


class PasswordBackend(ModelBackend):
    """Django's own, with failures counted together with those of the API."""

    def authenticate(
        self, request: HttpRequest | None, username: str | None = None, password: str | None = None, **kwargs: Any
    ) -> User | None:
        address = client_address(request) if request is not None else "unknown"
        try:
            with throttles.login_attempt(username or "", address):
                user = super().authenticate(request, username=username, password=password, **kwargs)
                if user is None:
                    raise _NoMatch
        except _NoMatch:
            note_refused_login(username or "", "wrong credentials")
            return None
        except TooManyRequests:
            raise PermissionDenied from None  # no other backend is asked, and the form says that nothing matched
        assert isinstance(user, User)
        return user
