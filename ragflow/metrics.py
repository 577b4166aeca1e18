"""`GET /metrics`: what this web process counted, and what the database knows, in Prometheus' text format.

The workers' numbers are in the database, too, so this one address tells of the whole installation.
"""

from __future__ import annotations

import ipaddress
import logging
from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.db import DatabaseError
from django.db.models import Count, Sum
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.crypto import constant_time_compare
from django.views.decorators.http import require_safe
from prometheus_client import CONTENT_TYPE_LATEST, ProcessCollector, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from apps.core.errors import AccessDenied
from apps.core.http import error_response
from apps.core.metrics import REGISTRY
from apps.datasets.models import KnowledgeBase
from apps.documents.models import IngestTask, Reembedding
from ragflow import worker_counts
from ragflow.housekeeping import GONE_AFTER
from ragflow.models import BrokerMessage, Worker

log = logging.getLogger(__name__)

_FORWARDED = ("X-Forwarded-For", "X-Forwarded-Host", "X-Real-Ip", "Forwarded", "Via")


@require_safe
def show(request: HttpRequest) -> HttpResponse:
    if not _may_read(request):
        return error_response(
            AccessDenied("Metrics are shown to this machine, or to who sends RAGFLOW_METRICS_TOKEN as bearer token.")
        )
    return HttpResponse(generate_latest(REGISTRY), content_type=CONTENT_TYPE_LATEST)


def _may_read(request: HttpRequest) -> bool:
    """A configured token opens from anywhere; without one, only programs of this machine that ask directly may read."""
    if settings.METRICS_TOKEN:
        sent = request.headers.get("Authorization", "")
        return constant_time_compare(sent, f"Bearer {settings.METRICS_TOKEN}")
    if settings.PROXIES or any(name in request.headers for name in _FORWARDED):
        return False
    try:
        return ipaddress.ip_address(request.META.get("REMOTE_ADDR", "")).is_loopback
    except ValueError:
        return False


class _Installation(Collector):
    """Numbers that all processes share, read when they are asked for, with a handful of queries over indexes."""

    def collect(self) -> Iterator[Metric]:
        try:
            found = [*_tasks(), *_totals(), _queue(), _workers(), *worker_counts.shown()]
            is_up = 1.0
        except DatabaseError as error:
            log.warning("Metrics: the database does not answer: %s", type(error).__name__)
            found, is_up = [], 0.0
        yield GaugeMetricFamily("ragflow_database_up", "Whether the database answered.", is_up)
        yield from found


def _tasks() -> Iterator[Metric]:
    for model, name, meaning in (
        (IngestTask, "ragflow_ingest_tasks", "Ingest tasks by state."),
        (Reembedding, "ragflow_reembeddings", "Changes of embedding models by state."),
    ):
        family = GaugeMetricFamily(name, meaning, labels=["state"])
        counted = dict(model.objects.order_by().values_list("state").annotate(Count("pk")))
        for state in model.State.values:
            family.add_metric([state], counted.get(state, 0))
        yield family


def _totals() -> list[Metric]:
    live = KnowledgeBase.objects.filter(deleted_at=None)
    sums: dict[str, Any] = live.order_by().aggregate(
        datasets=Count("pk"), documents=Sum("document_count"), chunks=Sum("chunk_count")
    )
    return [
        GaugeMetricFamily(f"ragflow_{name}", f"{name.title()} of all tenants.", float(sums[name] or 0)) for name in sums
    ]


def _queue() -> Metric:
    depth = _redis_depth() if settings.REDIS_URL else float(BrokerMessage.objects.count())
    family = GaugeMetricFamily("ragflow_queue_messages", "Messages that wait for a worker.")
    if depth is not None:
        family.add_metric([], depth)
    return family


def _redis_depth() -> float | None:
    import redis

    try:
        with redis.Redis.from_url(settings.REDIS_URL, socket_timeout=2, socket_connect_timeout=2) as client:
            return float(client.llen(settings.CELERY_TASK_DEFAULT_QUEUE))
    except redis.RedisError as error:
        log.warning("Metrics: the message broker does not answer: %s", type(error).__name__)
        return None


def _workers() -> Metric:
    alive = Worker.objects.filter(seen_at__gt=timezone.now() - GONE_AFTER).count()
    return GaugeMetricFamily("ragflow_workers", "Worker processes that are alive.", float(alive))


REGISTRY.register(_Installation())
ProcessCollector(registry=REGISTRY)
