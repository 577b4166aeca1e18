"""What the workers say of themselves, and what they are doing."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db.models import Count, Q
from django.utils import timezone

from apps.documents.models import IngestTask, Reembedding
from ragflow.models import Worker

State = IngestTask.State
HEARTBEATS = timedelta(minutes=30)


def heartbeats() -> dict[str, list[dict[str, Any]]]:
    """Return the last heartbeat of each worker; earlier ones are not kept."""
    since = timezone.now() - HEARTBEATS
    waiting = sum(tasks.objects.filter(state=State.PENDING).count() for tasks in (IngestTask, Reembedding))
    return {worker.name: [_heartbeat(worker, waiting)] for worker in Worker.objects.filter(seen_at__gt=since)}


def _heartbeat(worker: Worker, waiting: int) -> dict[str, Any]:
    place = worker.name.rpartition("@")[2]  # as tasks name their worker
    host, _, process = place.rpartition("/")
    tasks = IngestTask.objects.filter(worker=place)
    finished = tasks.filter(finished_at__gte=worker.started_at).aggregate(
        done=Count("pk", filter=Q(state=State.DONE)), failed=Count("pk", filter=Q(state=State.FAILED))
    )
    running = tasks.filter(state=State.RUNNING)
    return {
        "ip_address": host,
        "pid": int(process) if process.isdecimal() else 0,
        "name": worker.name,
        "now": worker.seen_at.isoformat(timespec="milliseconds"),
        "boot_at": worker.started_at.isoformat(timespec="milliseconds"),
        "pending": waiting,
        "lag": waiting,
        **finished,
        "current": {
            task.pk: {"id": task.pk, "doc_id": task.document_id, "progress": task.progress, "stage": task.stage}
            for task in running
        }
        | {
            task.pk: {"id": task.pk, "dataset_id": task.dataset_id, "progress": task.progress, "stage": task.stage}
            for task in Reembedding.objects.filter(worker=place, state=State.RUNNING)
        },
    }
