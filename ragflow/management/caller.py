"""On whose behalf a command at the terminal runs."""

from __future__ import annotations

from django.core.management.base import CommandError

from apps.accounts.authentication import principal_of_user
from apps.accounts.models import User
from apps.accounts.selectors import user_by_email
from apps.core.principal import Principal


def caller(email: str) -> Principal:
    """Return the principal of a user; without an address that of the first operator, or of the only user there is.

    Raises CommandError.
    """
    if email:
        user = user_by_email(email)
        if user is None:
            raise CommandError(f"There is no user {email}.")
        return principal_of_user(user)
    active = User.objects.filter(is_active=True).order_by("created_at")
    found = list(active.filter(is_staff=True)[:1]) or list(active[:2])
    if len(found) != 1:
        raise CommandError("Say for whom: --email. (`manage.py create_token` makes users.)")
    return principal_of_user(found[0])
