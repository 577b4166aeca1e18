"""What the installation says about itself (`/v1/system/...`)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import connection
from django.db.models import Count, Q
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts import system_settings
from apps.accounts.views.base import ANSWER, OpenViewSet, WebViewSet
from apps.core.rest import web_success
from apps.documents.models import IngestTask
from ragflow import health
from ragflow.models import Worker

State = IngestTask.State
HEARTBEATS = timedelta(minutes=30)


@extend_schema(tags=["system"])
class InstallationViewSet(WebViewSet):
    @extend_schema(summary="Get the version", responses=ANSWER)
    def version(self, _request: Request) -> Response:
        return web_success(f"v{settings.SPECTACULAR_SETTINGS['VERSION']}")

    @extend_schema(summary="Get the state of every part, and of the workers", responses=ANSWER)
    def status(self, _request: Request) -> Response:
        engine = "elasticsearch" if settings.ELASTICSEARCH_URL else "embedded"
        storage = "s3" if settings.STORAGE_URL.startswith("s3:") else "file"
        return web_success(
            {
                "doc_engine": _part("doc_engine", type=engine),
                "storage": _part("storage", storage=storage),
                "database": _part("db", database=connection.vendor),
                "redis": _part("redis"),
                "task_executor_heartbeats": _heartbeats(),
            }
        )


@extend_schema(tags=["system"], auth=[])
class ConfigViewSet(OpenViewSet):
    @extend_schema(summary="Whether strangers may register", responses=ANSWER)
    def config(self, _request: Request) -> Response:
        return web_success({"registerEnabled": int(system_settings.is_registration_open())})


def _part(name: str, **about: str) -> dict[str, str]:
    result = health.examine(name)
    if result.error:
        return about | {"status": "red", "elapsed": result.elapsed, "error": result.error}
    return about | {"status": "green", "elapsed": result.elapsed}


def _heartbeats() -> dict[str, list[dict[str, Any]]]:
    """Return the last heartbeat of each worker; earlier ones are not kept."""
    since = timezone.now() - HEARTBEATS
    waiting = IngestTask.objects.filter(state=State.PENDING).count()
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
        },
    }
