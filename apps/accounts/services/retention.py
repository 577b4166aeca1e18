"""How long the audit log is kept (RAGFLOW_AUDIT_DAYS), and sessions of browsers."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.conf import settings
from django.contrib.sessions.models import Session
from django.db import connection, models, transaction
from django.utils import timezone

from apps.accounts import audit
from apps.accounts.models import AuditEntry

AT_ONCE = 5000  # entries of one transaction
_A_DAY = timedelta(days=1)


def forget_old_entries() -> int:
    """Delete the audit entries that are older than the setting allows, and return how many. That is recorded, too.

    Workers call this every few seconds. A day's worth goes at a time, else there would always be a few.
    """
    if not settings.AUDIT_DAYS:
        return 0
    limit = timezone.now() - timedelta(days=settings.AUDIT_DAYS)
    if not AuditEntry.objects.filter(at__lt=limit - _A_DAY).exists():
        return 0
    forgotten = 0
    while deleted := _forget_some(limit):
        forgotten += deleted
    return forgotten


def forget_expired_sessions() -> int:
    """Delete the sessions of browsers that have expired, and return how many. Nobody can use them any more."""
    expired = Session.objects.filter(expire_date__lt=timezone.now())
    return expired.delete()[0] if expired.exists() else 0  # looking does not lock the database


@transaction.atomic
def _forget_some(limit: datetime) -> int:
    if connection.vendor == "postgresql":  # whose trigger refuses every other deletion
        with connection.cursor() as cursor:
            cursor.execute("SELECT set_config('ragflow.forgets_audit_entries', 'yes', true)")
    entries: models.QuerySet[AuditEntry] = models.QuerySet(AuditEntry)  # the model's own manager refuses, too
    old = entries.filter(at__lt=limit)
    ids = list(old.order_by("id").values_list("id", flat=True)[:AT_ONCE])
    if not ids:
        return 0
    deleted, _ = old.filter(id__lte=ids[-1]).delete()
    detail = {"count": deleted, "before": limit.isoformat(timespec="seconds")}
    audit.record("delete", "audit entry", detail=detail)
    return deleted
