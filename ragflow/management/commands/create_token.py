"""Print a new API token and nothing else, so that a shell can take it: TOKEN=$(manage.py create_token --email ...)."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db import transaction

from apps.accounts.models import Tenant, User
from apps.accounts.selectors import user_by_email
from apps.accounts.services import create_account, create_tenant_for, create_token
from apps.core.errors import Conflict, RagflowError
from ragflow.management.command import InstallationCommand


class Command(InstallationCommand):
    help = "Print a new API token for the tenant of a user. Creates both if there is no such user."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--email", required=True, help="The user's e-mail address.")
        parser.add_argument("--name", default="", help="What the token is for, as lists of tokens show it.")

    def handle(self, *args: Any, email: str, name: str, **options: Any) -> None:
        try:
            with transaction.atomic():
                user = _user(email)
                issued = create_token(tenant=_tenant(user), name=name, created_by=user)
        except RagflowError as error:
            raise CommandError(error.message) from None
        self.stdout.write(issued.secret)


def _user(email: str) -> User:
    found = user_by_email(email)
    if found is not None:
        return found
    try:
        return create_account(email=email)
    except Conflict:  # another process was faster
        return User.objects.get(email__iexact=email.strip())


def _tenant(user: User) -> Tenant:
    return Tenant.objects.filter(pk=user.pk).first() or create_tenant_for(user=user)
