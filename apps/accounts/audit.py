"""The audit log: one entry per write of consequence, in the transaction of that write, and as a line of JSON.

Services call `record` where they write. Who acts, from where and in which request is known already: the middleware
begins a caller and authentication names it. Entries hold ids, names and the names of changed fields, never values.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from django.db import transaction

from apps.accounts.models import APIToken, AuditEntry, ShareToken, User
from apps.core.caller import Actor, ActorKind, acts_as, current_caller
from apps.core.logs import current_request_id, note_tenant

log = logging.getLogger("ragflow.audit")


def record(
    action: str,
    kind: str,
    *,
    id: str = "",  # noqa: A002
    name: str = "",
    ids: Sequence[str] | None = None,
    tenant_id: str = "",
    detail: Mapping[str, Any] | None = None,
) -> None:
    """Write down that the caller did `action` to an object of a kind, or to several (`ids`; none: nothing happened).

    Rolled back with the transaction around it, and logged when that commits.
    """
    known = dict(detail or {})
    if ids is not None:
        if not ids:
            return
        if len(ids) == 1:
            id = ids[0]  # noqa: A001
        else:
            known |= {"count": len(ids), "ids": list(ids)}
    caller, actor = current_caller(), _actor()
    entry = AuditEntry.objects.create(
        actor_kind=actor.kind.value,
        actor_id=actor.id,
        actor_name=_shown(actor.name),
        tenant_id=tenant_id,
        action=action,
        object_kind=kind,
        object_id=_shown(id),
        object_name=_shown(name),
        address=caller.address,
        request_id=current_request_id() if caller.is_remote else "",
        detail=known,
    )
    transaction.on_commit(partial(_log, entry), robust=True)


def acts_as_user(user: User) -> None:
    acts_as(actor_of(user))
    note_tenant(user.pk)


def acts_as_token(token: APIToken | ShareToken) -> None:
    kind = ActorKind.TOKEN if isinstance(token, APIToken) else ActorKind.SHARE_TOKEN
    acts_as(Actor(kind, token.pk, str(token)))
    note_tenant(token.tenant_id)


def actor_of(user: User) -> Actor:
    return Actor(ActorKind.USER, user.pk, user.email)


def entry_to_line(entry: AuditEntry) -> dict[str, Any]:
    """Return what a line of the log holds of an entry."""
    return {
        "id": entry.pk,
        "time": entry.at.isoformat(timespec="milliseconds"),
        "actor": {"kind": entry.actor_kind, "id": entry.actor_id, "name": entry.actor_name},
        "tenant": entry.tenant_id,
        "action": entry.action,
        "object": {"kind": entry.object_kind, "id": entry.object_id, "name": entry.object_name},
        "address": entry.address,
        "request": entry.request_id,
        "detail": entry.detail,
    }


def _actor() -> Actor:
    """Return who acts. People in the administration pages are known by their Django session."""
    caller = current_caller()
    if caller.actor.kind is ActorKind.ANONYMOUS and caller.request is not None:
        user = getattr(caller.request, "user", None)
        if isinstance(user, User):
            return actor_of(user)
    return caller.actor


def _shown(text: str) -> str:
    """Return the text without what databases refuse, NUL and lone surrogates: neither keeps an entry from the log."""
    return text.replace("\0", "\ufffd").encode(errors="replace").decode()[:255]


def _log(entry: AuditEntry) -> None:
    if log.isEnabledFor(logging.INFO):
        log.info("%s", entry, extra={"audit": entry_to_line(entry)})
