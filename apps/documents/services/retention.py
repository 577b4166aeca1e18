"""How long the tasks of documents are kept. Each parse leaves one."""

from __future__ import annotations

from datetime import timedelta

from django.utils import timezone

from apps.core.many import NotSoughtBy
from apps.documents.models import IngestTask

KEPT_FOR = timedelta(days=30)
AT_ONCE = 5000  # rows of one statement
_SETTLED = (IngestTask.State.DONE, IngestTask.State.FAILED, IngestTask.State.CANCELLED)  # quarantined ones need a look


def forget_finished_tasks() -> int:
    """Delete tasks that ended a month ago, and return how many. What they came to stands in their documents."""
    limit = timezone.now() - KEPT_FOR
    # Tasks end after they were made, and only the time of making is indexed. Most are settled.
    settled = IngestTask.objects.alias(settled=NotSoughtBy("state")).filter(settled__in=_SETTLED)
    old = settled.filter(created_at__lt=limit, finished_at__lt=limit).order_by("created_at")
    forgotten = 0
    while ids := list(old.values_list("pk", flat=True)[:AT_ONCE]):
        forgotten += IngestTask.objects.filter(pk__in=ids).delete()[0]
    return forgotten
