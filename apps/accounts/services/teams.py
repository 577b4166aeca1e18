"""Who belongs to a tenant."""

from __future__ import annotations

from django.db import IntegrityError, transaction
from django.utils import timezone

from apps.accounts import audit, selectors, system_settings, throttles
from apps.accounts.errors import NotYours
from apps.accounts.models import Membership, User
from apps.core.errors import Conflict, InvalidArgument, NotFound
from apps.core.principal import Principal
from apps.core.queue import enqueue

Role = Membership.Role
GRANTED = frozenset({Role.ADMIN, Role.EDITOR, Role.VIEWER})
"""The roles that can be given; a tenant has one owner."""


def invite(*, principal: Principal, tenant_id: str, email: str, role: str | None) -> Membership:
    """Invite a user into a tenant, by mail. Until accepted, the invitation gives nothing. Without a role: the default.

    Raises NotYours, NotFound when no user has the address, Conflict when the user belongs to the tenant already, and
    TooManyRequests.
    """
    _require_administrator(principal, tenant_id)
    granted = _granted(principal, tenant_id, system_settings.default_role() if role is None else role)
    user = selectors.user_by_email(email)
    if user is None:
        raise NotFound("User not found.")
    throttles.hit(throttles.INVITATIONS_OF_TENANT, tenant_id)  # each is a mail to somebody who may not want it
    try:
        with transaction.atomic():
            membership = Membership.objects.create(
                tenant_id=tenant_id, user=user, role=granted, is_pending=True, invited_by_id=principal.tenant_id
            )
            enqueue("apps.accounts.tasks.send_invitation", membership.pk)
            _record("invite", membership, user)
    except IntegrityError:
        raise _already_there(tenant_id, user, email) from None
    return membership


@transaction.atomic
def accept_invitation(*, user: User, tenant_id: str) -> None:
    """Join a tenant. Without an invitation nothing happens."""
    membership = selectors.membership_of(tenant_id, user.pk)
    if membership is None:
        return
    pending = Membership.objects.filter(pk=membership.pk, is_pending=True)  # it may be withdrawn at this moment
    if pending.update(is_pending=False, updated_at=timezone.now()):
        _record("join", membership, user)


@transaction.atomic
def change_role(*, principal: Principal, tenant_id: str, user_id: str, role: str) -> None:
    """Give a member or an invited person another role. Raises NotYours and NotFound."""
    _require_administrator(principal, tenant_id)
    granted = _granted(principal, tenant_id, role)
    membership = _locked(tenant_id, user_id)
    if membership is None:
        raise NotFound("User not found.")
    _require_authority_over(principal, membership)
    membership.role = granted
    membership.save(update_fields=["role", "updated_at"])
    _record("change role", membership, membership.user)


@transaction.atomic
def remove(*, principal: Principal, tenant_id: str, user_id: str) -> None:
    """Take somebody out of a tenant, or leave it oneself. Nothing happens if the person is not in it.

    Raises NotYours, also for the owner, who cannot leave.
    """
    if principal.tenant_id != user_id:
        _require_administrator(principal, tenant_id)
    membership = _locked(tenant_id, user_id)
    if membership is None:
        return
    if principal.tenant_id != user_id or membership.role == Role.OWNER:
        _require_authority_over(principal, membership)
    _record("remove", membership, membership.user)
    membership.delete()


def _locked(tenant_id: str, user_id: str) -> Membership | None:
    """Return a membership that nobody else changes until the transaction ends, so that its role is as it is checked."""
    found = selectors.membership_of(tenant_id, user_id)
    return Membership.objects.select_for_update().filter(pk=found.pk).first() if found else None


def _record(action: str, membership: Membership, user: User) -> None:
    detail = {"role": membership.role}
    audit.record(action, "member", id=user.pk, name=user.email, tenant_id=membership.tenant_id, detail=detail)


def _require_administrator(principal: Principal, tenant_id: str) -> None:
    if not selectors.can_administer(principal, tenant_id):
        raise NotYours


def _require_authority_over(principal: Principal, membership: Membership) -> None:
    """Nobody is above the owner, and administrators are not above each other."""
    is_owner = principal.tenant_id == membership.tenant_id
    beyond = {Role.OWNER} if is_owner else {Role.OWNER, Role.ADMIN}
    if membership.role in beyond:
        raise NotYours


def _granted(principal: Principal, tenant_id: str, role: str) -> Membership.Role:
    if role not in GRANTED:
        raise InvalidArgument(f"`role` must be one of admin, editor and viewer, not {role!r}.")
    if role == Role.ADMIN and principal.tenant_id != tenant_id:
        raise NotYours
    return Role(role)


def _already_there(tenant_id: str, user: User, email: str) -> Exception:
    membership = selectors.membership_of(tenant_id, user.pk)
    if membership is None:  # gone again in between
        return Conflict("The team changed at this moment. Try again.")
    if membership.is_pending:
        return Conflict(f"{email} is in the team, but the role: invite is invalid.")
    if membership.role == Role.OWNER:
        return Conflict(f"{email} is the owner of the team.")
    return Conflict(f"{email} is already in the team.")
